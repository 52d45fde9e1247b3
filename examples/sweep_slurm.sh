#!/bin/bash
# One node of a cluster for one sweep: as many processes as the job has cores.
#
#     sbatch examples/sweep_slurm.sh examples/sweep.toml
#
# A job that runs out of time is asked to stop two minutes before (SIGTERM), finishes the cells that it works on, and
# goes on where it was in the next one. Were it killed at once, only these cells would be lost.
#SBATCH --job-name=sweep
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -u
# The shell would hold the signal back until the command has ended: run it beside and pass the signal on.
regimes sweep run "$@" --workers "${SLURM_CPUS_PER_TASK:-1}" &
sweep=$!
trap 'kill -TERM $sweep' TERM
wait $sweep
code=$?
trap - TERM
if [ $code -gt 128 ] && kill -0 $sweep 2>/dev/null; then # woken by the signal, not by its end
    wait $sweep
    code=$?
fi
# 130: stopped before the end. The same job begins again where this one ended.
if [ $code -eq 130 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
