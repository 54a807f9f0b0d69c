"""The API of the third party: reading it whole, and a simulator that is as unreliable as the real one."""
