#!/usr/bin/env bash
# Runs a study on a Slurm cluster: patches and split first, then a job a config, then the report.
#   deploy/slurm/submit.sh STUDY [KEY...]       (without a key: all configs)
# Study and objects have to lie on a file system that all nodes share. Options of sbatch for the GPU jobs:
#   FIREFUSION_SBATCH="--partition=gpu --gres=gpu:1 --cpus-per-task=8 --mem=32G --time=24:00:00"
set -euo pipefail

study=$(realpath "$1")
shift
keys=("$@")
if [ ${#keys[@]} -eq 0 ]; then
    for file in "$study"/augmentations/*.yaml; do
        keys+=("$(basename "$file" .yaml)")
    done
fi
read -ra gpu_options <<< "${FIREFUSION_SBATCH:---gres=gpu:1 --cpus-per-task=4 --mem=32G --time=24:00:00}"
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
    jobs+=("$(submit "${gpu_options[@]}" --job-name "firefusion-$key" --dependency "afterok:$data" \
        --wrap "$(job "$key" --to dice_metrics)")")
done
# The report is made even if a config failed: it says which one is missing.
submit --job-name firefusion-report --dependency "afterany:$(IFS=:; echo "${jobs[*]}")" --wrap "$(job "${keys[@]}")"
