"""The `pulumi` command run as a process, and the stacks that exist as files."""
