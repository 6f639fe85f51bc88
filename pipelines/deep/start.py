"""What launchers send to executors: a function that imports torch only where it runs."""


def rank(text: str, launcher: str) -> None:
    """Be one rank of a job."""
    from pipelines.deep import rank

    if launcher == "horovod_elastic":
        rank.work_elastic(text)
    else:
        rank.work(text, launcher)
