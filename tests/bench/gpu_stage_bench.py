#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One stage of a 1B LLaMA on one GPU in bf16: ours against PyTorch eager and torch.compile on the same card, in one run.

    tests/bench/gpu_stage_bench.py [--device cuda] [--shape 1b] [--steps 10] [--no-compile]

Every side has fp32 master weights and computes in bf16 (on a CPU: fp32); a step is forward and backward of every
microbatch and one AdamW update. Ours takes and returns the boundary tensors in host memory, as a node must;
PyTorch's stay on the card. `--device cpu --shape tiny` proves the harness where there is no GPU.
"""
import argparse, json, os, pathlib, subprocess, sys, time

# Dense bf16 peaks with fp32 accumulation, from the makers' data sheets, by a part of the device's name. First match wins.
PEAK_TFLOPS = [("H200", 989.5), ("H100 PCIe", 756), ("H100 NVL", 835), ("H100", 989.5), ("A100", 312), ("A10G", 70), ("L40S", 362),
               ("L4", 121), ("RTX 4090", 165.2), ("RTX 3090", 71), ("A6000", 154.8)]


def utilisation(row, flops_per_token, peak_tflops):
    """Model FLOPs utilisation; None where the peak is not known."""
    peak = peak_tflops or next((p for name, p in PEAK_TFLOPS if name in row["device"]), None)
    return peak and round(row["tokens_per_second"] * flops_per_token / (peak * 1e12), 4)


def ours(a):
    """The JSON line of the C++ program, or the sentence that says why there is none."""
    build = pathlib.Path(a.build)
    out = subprocess.run([build / "bin" / "gpu_stage_bench", "--device", a.device, "--shape", a.shape, "--steps", str(a.steps)],
                         check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return json.loads(out) if out.startswith("{") else out


def torch_stage(shape):
    """The same slice of layers in PyTorch: pre-norm LLaMA blocks, RoPE by halves, grouped-query attention, SwiGLU."""
    import torch, torch.nn as nn, torch.nn.functional as F
    width, heads, kv_heads = shape["hidden"], shape["heads"], shape["kv_heads"]
    head = width // heads

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            linear = lambda i, o: nn.Linear(i, o, bias=False)
            self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
            self.q, self.k, self.v, self.o = linear(width, width), linear(width, kv_heads * head), linear(width, kv_heads * head), linear(width, width)
            self.gate, self.up, self.down = linear(width, shape["ffn"]), linear(width, shape["ffn"]), linear(shape["ffn"], width)
            angle = torch.outer(torch.arange(shape["sequence"]).float(), 1e4 ** (-torch.arange(0, head, 2).float() / head))
            self.register_buffer("cos", angle.cos()[:, None], persistent=False)
            self.register_buffer("sin", angle.sin()[:, None], persistent=False)

        def rotate(self, x):
            l, r = x.chunk(2, -1)
            return torch.cat([l * self.cos - r * self.sin, l * self.sin + r * self.cos], -1).to(x.dtype).transpose(1, 2)

        def forward(self, x):
            b, t, _ = x.shape
            split = lambda y, n: y.view(b, t, n, head)
            h = self.norm1(x)
            y = F.scaled_dot_product_attention(self.rotate(split(self.q(h), heads)), self.rotate(split(self.k(h), kv_heads)),
                                               split(self.v(h), kv_heads).transpose(1, 2), is_causal=True, enable_gqa=heads != kv_heads)
            x = x + self.o(y.transpose(1, 2).reshape(b, t, width))
            h = self.norm2(x)
            return x + self.down(F.silu(self.gate(h)) * self.up(h))

    return nn.Sequential(*(Block() for _ in range(shape["layers"])))


def theirs(a, shape, compiled):
    """Tokens per second of PyTorch on the same slice, sizes and device."""
    import torch
    device = torch.device(a.device)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # As ours: the CPU computes in the proof of the harness alone.
    model = torch_stage(shape).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    run = torch.compile(model) if compiled else model
    size = (shape["sequences"], shape["sequence"], shape["hidden"])
    x, dy = torch.randn(size, device=device), 1e-3 * torch.randn(size, device=device)
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = []
    for step in range(3 + a.steps):
        finish()
        start = time.perf_counter()
        for _ in range(shape["microbatches"]):
            inputs = x.clone().requires_grad_()
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                y = run(inputs)
            y.backward(dy.to(y.dtype))
        optimizer.step()
        optimizer.zero_grad()
        finish()
        if step >= 3:
            seconds.append(time.perf_counter() - start)
    tokens = shape["microbatches"] * shape["sequences"] * shape["sequence"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return dict(side="torch.compile" if compiled else "torch eager", device=name,
                tokens_per_second=round(tokens / sorted(seconds)[len(seconds) // 2], 1), best=round(tokens / min(seconds), 1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    p.add_argument("--shape", choices=["1b", "tiny"], default="1b")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--no-compile", action="store_true", help="leave torch.compile out (on a GPU it needs triton)")
    p.add_argument("--peak-tflops", type=float, help="of a card that the table does not know")
    p.add_argument("--build", default=os.environ.get("COSHARD_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build" / "test"))
    a = p.parse_args()
    first = ours(a)
    if isinstance(first, str):
        print(first)
        return
    rows = [first]
    for compiled in [False] if a.no_compile else [False, True]:
        try:
            rows.append(theirs(a, first, compiled))
        except Exception as error:  # torch.compile without triton, or memory: the other rows still count.
            rows.append(dict(side="torch.compile" if compiled else "torch eager", error=str(error).splitlines()[0]))
    for row in rows:
        if "error" not in row:
            row["utilisation"] = utilisation(row, first["flops_per_token"], a.peak_tflops)
            row["ours_to_this"] = round(first["tokens_per_second"] / row["tokens_per_second"], 3)
        print(json.dumps(dict(bench="gpu_stage", **row)), flush=True)


if __name__ == "__main__":
    main()
