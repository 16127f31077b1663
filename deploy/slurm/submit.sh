#!/usr/bin/env bash
# Runs a study on a Slurm cluster: patches and split first, then a job a config, then the report.
#   deploy/slurm/submit.sh STUDY [KEY...]       (without a key: all configs)
# Study and objects have to lie on a file system that all nodes share. Jobs of configs ask for what the most demanding
# step does (`resources` in study.yaml); more options of sbatch for them, of which the last one counts:
#   FIREFUSION_SBATCH="--partition=gpu --time=48:00:00"
set -euo pipefail

study=$(realpath "$1")
shift
keys=("$@")
if [ ${#keys[@]} -eq 0 ]; then
    for file in "$study"/augmentations/*.yaml; do
        keys+=("$(basename "$file" .yaml)")
    done
fi
asked=$(python - "$study" << 'EOF'
import sys
from pathlib import Path

from firefusion_assets.study import load_study

most = load_study(Path(sys.argv[1])).resources.most()
gpus = f"--gres=gpu:{most.gpus} " if most.gpus else ""
print(f"{gpus}--cpus-per-task={most.cores} --mem={most.memory_gb * 1000:.0f}M --time=24:00:00")
EOF
)
read -ra options <<< "$asked ${FIREFUSION_SBATCH:-}"
logs="$study/slurm"
mkdir -p "$logs"

# A job has a history of its own, on its node: what is shared is the store of objects, which locks.
job() {
    # shellcheck disable=SC2016  # the node makes the folder
    echo 'export DAGSTER_HOME=$(mktemp -d) FIREFUSION_EXECUTOR=in_process OMP_NUM_THREADS=1'
    echo "firefusion run $* --study '$study'"
}
submit() {
    sbatch --parsable --output "$logs/%x-%j.log" "$@"
}

data=$(submit --job-name firefusion-data --wrap "$(job --to scene_split)")
jobs=()
for key in "${keys[@]}"; do
    jobs+=("$(submit "${options[@]}" --job-name "firefusion-$key" --dependency "afterok:$data" \
        --wrap "$(job "$key" --to dice_metrics)")")
done
# The report is made even if a config failed: it says which one is missing.
submit --job-name firefusion-report --dependency "afterany:$(IFS=:; echo "${jobs[*]}")" --wrap "$(job "${keys[@]}")"
