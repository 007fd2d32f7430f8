#!/bin/sh
# The ensemble: three families, five folds each, one equal vote. Goes on where it stopped when called again.
#
#   sh recipes/winner.sh DATA [OUT] [FOLDS]     OUT: runs/winner, FOLDS: "0 1 2 3 4"
#
# A fold of `strong` takes a night on one GPU, one of `balanced` or `deeplab` a few hours.
set -eu
data=$1
out=${2:-runs/winner}
folds=${3:-0 1 2 3 4}

bundles=
for recipe in strong balanced deeplab; do
  for fold in $folds; do
    run=$out/$recipe-$fold
    resume=
    if [ -e "$run/last.ckpt" ]; then resume=--resume; fi
    handbones train "$data" --recipe "$recipe" --fold "$fold" --out "$run" $resume
    bundles="$bundles --bundle $run"
  done
done
# Networks that see the picture in less than a tile see it whole; each says what it says of the mirrored one, too.
handbones predict "$data" $bundles --tile 1024 --overlap 0.5 --flip --mean probability --out "$out/prediction"
handbones submission check "$out/prediction/submission.csv" --data "$data"
