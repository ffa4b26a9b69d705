#!/bin/sh
# Runs a command beside llama.cpp's OpenAI-compatible server, whose address it gives in HAF_OPENAI_URL.
#
#   with_llama.sh PYTHON MODEL.gguf COMMAND …        PYTHON has llama-cpp-python[server]
set -eu
python=$1 model=$2
shift 2
if ! "$python" -c 'import llama_cpp.server' 2>/dev/null; then
	echo "skipped: $python has not llama-cpp-python[server]" >&2
	exit 0
fi
if [ ! -f "$model" ]; then
	echo "skipped: $model is not there: run make models" >&2
	exit 0
fi
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"$python" -m llama_cpp.server --model "$model" --host 127.0.0.1 --port "$port" --n_ctx 2048 --n_threads 2 >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
HAF_OPENAI_URL=http://127.0.0.1:$port/v1
export HAF_OPENAI_URL
tries=0
until "$python" -c "import urllib.request as u; u.urlopen('$HAF_OPENAI_URL/models', timeout=2)" 2>/dev/null; do
	tries=$((tries + 1))
	if ! kill -0 "$server" 2>/dev/null || [ "$tries" -gt 60 ]; then
		echo "llama.cpp's server did not start:" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
	sleep 1
done
"$@"
