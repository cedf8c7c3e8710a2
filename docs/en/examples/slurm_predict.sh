#!/usr/bin/env bash
# Decisions on a folder of images by several nodes: sbatch slurm_predict.sh BUNDLE IMAGES OUT
# The paths are on a file system that all nodes share. Submitted again after a time limit, it goes on where it stopped.
#SBATCH --job-name=mmcascade
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@60
set -euo pipefail
bundle=$1 images=$2 out=$3
port=6379
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | cut -d ' ' -f 1)

# Steps of a job do not take this over from sbatch, and would have one processor each.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# Ray tells its nodes apart from strangers by a token; all of them find it in the home folder.
ray get-auth-token --generate > /dev/null
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
srun --nodes=1 --ntasks=1 -w "$head" \
    ray start --head --node-ip-address="$address" --port=$port --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 20
others=$((SLURM_NNODES - 1))
if ((others > 0)); then
    srun --nodes=$others --ntasks=$others --exclude="$head" \
        ray start --address="$address:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
    sleep 20
fi
srun --overlap --nodes=1 --ntasks=1 -w "$head" \
    mmcascade predict "$bundle" "$images" --out "$out" --engine ray --address "$address:$port"
