"""The model in PyTorch, for engine_vs_pytorch_test: same weights in; logits, losses, gradients and AdamW steps out.

    llama_reference.py DIR

reads DIR/case.json and DIR/weights.safetensors (a stage checkpoint of the whole model), writes DIR/reference.safetensors:
logits (of the first microbatch), loss (of each step, per token), grad/<name> (of the sum of token losses of step 1) and
step10/<name>. Written from the papers and PyTorch's own operators, in float64: so a difference is the engine's rounding alone.
"""
import json
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

folder = sys.argv[1]
case = json.load(open(folder + "/case.json"))
spec = case["spec"]
HEADS, KV_HEADS, HIDDEN = spec["heads"], spec["kv_heads"], spec["hidden"]
HEAD_DIM = HIDDEN // HEADS
torch.set_num_threads(1)

weights = {name: tensor.double().requires_grad_() for name, tensor in load_file(folder + "/weights.safetensors").items()
           if not name.startswith("adamw.")}


def norm(x, name):
    return F.rms_norm(x, (HIDDEN,), weights[name], spec["norm_eps"])


def rotate(x):  # (batch, heads, tokens, head_dim)
    frequency = spec["rope_theta"] ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    angle = torch.outer(torch.arange(x.shape[2], dtype=torch.float64), frequency).repeat(1, 2)
    half = HEAD_DIM // 2
    return x * angle.cos() + torch.cat([-x[..., half:], x[..., :half]], -1) * angle.sin()


def layer(x, prefix):
    batch, tokens, _ = x.shape
    linear = lambda y, name: F.linear(y, weights[prefix + name + ".weight"])
    heads = lambda y, count: y.view(batch, tokens, count, HEAD_DIM).transpose(1, 2)
    h = norm(x, prefix + "input_layernorm.weight")
    q = rotate(heads(linear(h, "self_attn.q_proj"), HEADS))
    k = rotate(heads(linear(h, "self_attn.k_proj"), KV_HEADS)).repeat_interleave(HEADS // KV_HEADS, 1)
    v = heads(linear(h, "self_attn.v_proj"), KV_HEADS).repeat_interleave(HEADS // KV_HEADS, 1)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, tokens, HIDDEN)
    x = x + linear(mixed, "self_attn.o_proj")
    h = norm(x, prefix + "post_attention_layernorm.weight")
    return x + linear(F.silu(linear(h, "mlp.gate_proj")) * linear(h, "mlp.up_proj"), "mlp.down_proj")


def forward(tokens):
    x = F.embedding(tokens, weights["model.embed_tokens.weight"])
    for i in range(spec["layers"]):
        x = layer(x, f"model.layers.{i}.")
    return F.linear(norm(x, "model.norm.weight"), weights["lm_head.weight"])


def loss_sum(batch):
    shape = (batch["sequences"], batch["length"])
    logits = forward(torch.tensor(batch["inputs"]).view(shape))
    targets = torch.tensor(batch["targets"])
    return logits, F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum"), targets.numel()


optimizer = torch.optim.AdamW(
    [dict(params=[w for w in weights.values() if w.dim() == 2], weight_decay=case["weight_decay"]),
     dict(params=[w for w in weights.values() if w.dim() == 1], weight_decay=0.0)],
    betas=case["betas"], eps=case["eps"])
out, losses = {}, []
for index, step in enumerate(case["steps"]):
    optimizer.zero_grad(set_to_none=True)
    total, tokens = 0.0, 0
    for m, batch in enumerate(step["microbatches"]):
        logits, loss, count = loss_sum(batch)
        loss.backward()
        total, tokens = total + loss.item(), tokens + count
        if index == 0 and m == 0:
            out["logits"] = logits.detach()
    if index == 0:
        out.update({"grad/" + name: w.grad.clone() for name, w in weights.items()})
    losses.append(total / tokens)
    for w in weights.values():
        w.grad /= tokens
    gradient_norm = torch.cat([w.grad.flatten() for w in weights.values()]).norm()
    for w in weights.values():
        w.grad *= min(1.0, case["clip_norm"] / gradient_norm.item())
    for group in optimizer.param_groups:
        group["lr"] = step["learning_rate"]
    optimizer.step()
out.update({"step10/" + name: w.detach() for name, w in weights.items()})
out["loss"] = torch.tensor(losses, dtype=torch.float64)
save_file({name: tensor.float().contiguous() for name, tensor in out.items()}, folder + "/reference.safetensors")
