"""What is measured: one module a process, each metric declared once."""
