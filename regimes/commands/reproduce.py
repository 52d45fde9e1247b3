"""`regimes reproduce`: the experiments of Rosenfeld, of Hestness et al., and of Boopathy and Fiete, one word each."""

import typer

from regimes.commands import (
    error_sources,
    joint_law,
    model_growth,
    nyquist_learners,
    phenomena,
    pruning,
    scale_time,
)

app = typer.Typer(
    help="What Rosenfeld, Hestness et al., and Boopathy and Fiete describe, predicted and measured.",
    no_args_is_help=True,
)
app.command("joint")(joint_law.command)
app.command("pruning")(pruning.command)
app.command("sources")(error_sources.command)
app.command("nyquist")(nyquist_learners.command)
app.command("hestness")(model_growth.command)
app.command("scale-time")(scale_time.command)
app.command("phenomena")(phenomena.command)
