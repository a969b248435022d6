"""Logits of an exported directory by Hugging Face transformers, for export_logits_test.

    transformers_logits.py DIR      reads DIR/case.json (sequences, length, inputs), loads DIR/hf, writes DIR/logits.safetensors
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", USE_TF="0", USE_FLAX="0")
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

folder = sys.argv[1]
case = json.load(open(folder + "/case.json"))
torch.set_num_threads(1)
model, report = AutoModelForCausalLM.from_pretrained(folder + "/hf", torch_dtype=torch.float32, output_loading_info=True)
assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
tokens = torch.tensor(case["inputs"]).view(case["sequences"], case["length"])
with torch.no_grad():
    save_file({"logits": model(tokens).logits.contiguous()}, folder + "/logits.safetensors")
