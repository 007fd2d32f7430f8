#!/bin/sh
# The ensemble: three families, five folds each, one equal vote. Goes on where it stopped when called again.
#
#   sh recipes/winner.sh DATA [OUT [FOLDS]] [OPTION...]     OUT: runs/winner, FOLDS: "0 1 2 3 4"
#
# Options are those of `train`, as --skip-bad or --exclude FILE.
# A fold of `strong` takes a night on one GPU, one of `balanced` or `deeplab` a few hours.
set -eu
data=$1 out=runs/winner folds="0 1 2 3 4"
shift
case ${1--} in -*) ;; *) out=$1 && shift ;; esac
case ${1--} in -*) ;; *) folds=$1 && shift ;; esac
skip=
case " $* " in *" --skip-bad "*) skip=--skip-bad ;; esac

for recipe in strong balanced deeplab; do
  for fold in $folds; do
    run=$out/$recipe-$fold
    resume=
    if [ -e "$run/last.ckpt" ]; then resume=--resume; fi
    handbones train "$data" --recipe "$recipe" --fold "$fold" --out "$run" $resume "$@"
  done
done
set --
for recipe in strong balanced deeplab; do
  for fold in $folds; do set -- "$@" --bundle "$out/$recipe-$fold"; done
done
# Networks that see the picture in less than a tile see it whole; each says what it says of the mirrored one, too.
resume=
if [ -e "$out/prediction/submission.csv.part" ]; then resume=--resume; fi
handbones predict "$data" "$@" $skip $resume --tile 1024 --overlap 0.5 --flip --mean probability --out "$out/prediction"
handbones submission check "$out/prediction/submission.csv" --data "$data"
