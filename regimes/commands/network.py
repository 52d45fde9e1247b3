"""`regimes network`: the experiments on trained networks, one word each."""

import typer

from regimes.commands import (
    aspect_ratio,
    frozen_features,
    network_variance,
    tangent_kernels,
    task_changes,
    teacher_student,
)

app = typer.Typer(help="Experiments on trained networks, beside what kernels predict for them.", no_args_is_help=True)
app.command("variance")(network_variance.command)
app.command("resolution")(teacher_student.command)
app.command("features")(frozen_features.command)
app.command("tasks")(task_changes.command)
app.command("aspect")(aspect_ratio.command)
app.command("kernels")(tangent_kernels.command)
