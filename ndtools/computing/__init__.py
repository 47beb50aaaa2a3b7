"""What computations run with: devices, threads and memory."""
