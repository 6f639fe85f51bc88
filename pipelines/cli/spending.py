"""`lakeloom cost`: what the stages of a conf cost, by their run records and the target's prices. No engine."""

from pipelines.cli.terminal import Conf, Format, TargetName, checked, show_data, target_of


def cost(conf: Conf, target: TargetName = "local", format: Format = "text") -> None:
    """Show what each stage cost: so far, last and next, 1,000 scores, idle share, half the cores, tables a month."""
    from pipelines.spending import spent, spent_text

    show_data(format, spent(checked(conf), target_of(conf, target)), spent_text)
