#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other end of hf_llama_test.cpp: Hugging Face's own libraries read what we wrote, and write what we read.
   hf_check.py write DIR   a safetensors file of known values in DIR/python.safetensors
   hf_check.py read DIR    checks model.safetensors, config.json and the tokenizer of an export against DIR/expected.json
Exit 77: a library is missing."""
import json
import sys

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as missing:
    print(missing)
    sys.exit(77)


def write(folder):
    save_file(
        {
            "f32": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
            "f16": np.array([0.1, -2.5, 65504, 6e-8, 0], dtype=np.float16),
            "i64": np.array([1, -1], dtype=np.int64),
            "scalar": np.array(3.5, dtype=np.float32),
            "nothing": np.zeros((0, 4), dtype=np.float32),
        },
        folder + "/python.safetensors",
        metadata={"made": "by numpy"},
    )


def read(folder):
    expected = json.load(open(folder + "/expected.json"))
    with safe_open(folder + "/model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}, file.metadata()
        assert sorted(file.keys()) == sorted(expected["tensors"]), file.keys()
        for name, (shape, first, last) in expected["tensors"].items():
            tensor = file.get_tensor(name)
            assert tensor.dtype == np.float32 and list(tensor.shape) == shape, name
            assert float(tensor.flat[0]) == first and float(tensor.flat[-1]) == last, name
    try:
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig
    except ImportError as missing:
        print(missing)
        sys.exit(77)
    config = AutoConfig.from_pretrained(folder)
    assert config.model_type == "llama" and config.num_key_value_heads == expected["kv_heads"]
    assert config.vocab_size == expected["vocab"] and not config.tie_word_embeddings
    theta = getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"]
    assert theta == expected["rope_theta"], theta
    GenerationConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Any text: caf\u00e9 \u20ac \u4e2d  two  spaces\n\ttab it's"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == list(text.encode()), ids
    assert tokenizer.decode(ids) == text, tokenizer.decode(ids)
    assert len(tokenizer) == 256


{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
