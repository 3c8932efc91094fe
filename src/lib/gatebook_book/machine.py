"""What this process may use of its machine."""


def cores() -> int:
    """Cores: those that the process may run on, or fewer by its container's quota."""
    import joblib  # here, for the sake of commands that need none

    return joblib.cpu_count()
