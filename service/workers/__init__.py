"""Worker processes: functions in Python run on all processors, which threads of one process cannot."""
