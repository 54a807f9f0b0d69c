"""What the service can be asked to do: both jobs, sync, and the verbs on single files and batches."""
