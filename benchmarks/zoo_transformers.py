"""Networks of the library `transformers`, by a small configuration."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zoo_cases import WORDS, Case, Task, numbers, tokens

library: Any = importlib.import_module("transformers")

TEXT, IMAGE = tokens(6), numbers(3, 16, 16, side=4, names=("pixel_values",))
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
STAGES: dict[str, Any] = {"hidden_sizes": [8, 16], "depths": [1, 1]}
DECODER: dict[str, Any] = {**SMALL, "num_key_value_heads": 1, "max_position_embeddings": 16, "head_dim": 8}
BOTH: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}  # fmt: skip


def spread(model: nn.Module) -> nn.Module:
    """Larger weights than those that the library starts with, by which outputs hardly move."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Embedding):
            with torch.no_grad():
                fan = math.prod(module.weight.shape[1:])
                module.weight.normal_(0, 1.0 if isinstance(module, nn.Embedding) else fan**-0.5)
    return model


def made(name: str, config: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        return spread(getattr(library, name)(getattr(library, f"{config}Config")(**options)))

    return build


def text(config: str, *, kind: str = "ForSequenceClassification", **options: Any) -> Case:
    sizes = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, **options}
    if kind == "ForSequenceClassification":
        sizes["num_labels"] = 3
    return Case(f"transformers {config}", made(config + kind, config, **sizes), TEXT, steps=150, rate=5e-3)


def image(config: str, *, kind: str = "ForImageClassification", **options: Any) -> Case:
    return Case(
        f"transformers {config}",
        made(config + kind, config, **{"num_labels": 3, **options}),
        IMAGE,
        steps=200,
        rate=1e-2,
    )


def sequence_to_sequence() -> Task:
    return tokens(6, 4, names=("input_ids", "decoder_input_ids"))()


def sound() -> Task:
    """A spectrogram of 8 bands and 12 frames, and what has been written."""
    frames = numbers(8, 12, side=3, names=("input_features",))()
    ids = torch.randint(1, WORDS, (len(frames.labels), 2), generator=torch.Generator().manual_seed(3))
    return Task({**frames.inputs, "decoder_input_ids": ids}, frames.labels)


def clip() -> nn.Module:
    config = library.CLIPVisionConfig(**SMALL, image_size=16, patch_size=4, projection_dim=3)
    return spread(library.CLIPVisionModelWithProjection(config))


WAVE: dict[str, Any] = {**SMALL, "conv_dim": [8, 8], "conv_kernel": [4, 4], "conv_stride": [2, 2],
        "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        "num_labels": 3,
        "classifier_proj_size": 8, "vocab_size": WORDS, "mask_time_prob": 0.0}  # fmt: skip
SWIN: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "window_size": 4,
}
VISION: dict[str, Any] = {**SMALL, "image_size": 16, "patch_size": 4}
MOBILE_VIT: dict[str, Any] = {"image_size": 32, "hidden_sizes": [8, 8, 8],
                              "neck_hidden_sizes": [4, 4, 6, 6, 8, 8, 16],
                              "num_attention_heads": 2, "expand_ratio": 2.0}  # fmt: skip

CASES: list[Case] = [
    text("Bert", **SMALL),
    text("Roberta", **SMALL),
    text("DistilBert", dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    text("Electra", **SMALL, embedding_size=8),
    text("Albert", **SMALL, embedding_size=8),
    text("DebertaV2", **SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"],
         max_position_embeddings=16, position_buckets=4, norm_rel_ebd="layer_norm", share_att_key=True),
    text("Funnel", block_sizes=[1, 1], d_model=16, n_head=2, d_head=8, d_inner=24),
    text("XLNet", d_model=16, n_layer=1, n_head=2, d_inner=24),
    text("GPT2", kind="LMHeadModel", n_positions=16, n_embd=16, n_layer=2, n_head=2),
    text("GPTNeoX", kind="ForCausalLM", **SMALL),
    text("OPT", kind="ForCausalLM", hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24,
         word_embed_proj_dim=16),
    text("Llama", kind="ForCausalLM", **DECODER),
    text("Qwen2", kind="ForCausalLM", **DECODER),
    text("Gemma2", kind="ForCausalLM", **DECODER),
    text("Phi", kind="ForCausalLM", **{**DECODER, "num_key_value_heads": 2}),
    text("Mixtral", kind="ForCausalLM", **DECODER, num_local_experts=3, num_experts_per_tok=2),
    text("Mamba", kind="ForCausalLM", hidden_size=16, num_hidden_layers=1, state_size=4, conv_kernel=2),
    Case("transformers T5, encoder and decoder", made(
        "T5ForConditionalGeneration", "T5", vocab_size=WORDS, d_model=16, d_kv=8, d_ff=24, num_layers=1,
        num_heads=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=0), sequence_to_sequence,
        steps=900, rate=5e-3),
    Case("transformers Bart, encoder and decoder", made(
        "BartForConditionalGeneration", "Bart", vocab_size=WORDS, **BOTH, max_position_embeddings=16,
        pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0, forced_eos_token_id=0),
        sequence_to_sequence,
        steps=300, rate=5e-3),
    Case("transformers Whisper", made(
        "WhisperForConditionalGeneration", "Whisper", vocab_size=WORDS, **BOTH, num_mel_bins=8,
        max_source_positions=6, max_target_positions=8, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=0), sound, steps=60, rate=5e-3),
    Case("transformers Wav2Vec2", made("Wav2Vec2ForSequenceClassification", "Wav2Vec2", **WAVE),
         numbers(48, names=("input_values",)), steps=60, rate=5e-3),
    image("ViT", **VISION),
    image("DeiT", **VISION),
    image("Beit", **VISION),
    Case("transformers CLIP, vision", clip, IMAGE, steps=60, rate=5e-3, options={"output": "image_embeds"},
         decide=lambda out: out.image_embeds),
    image("Swin", **SWIN),
    image("ConvNext", **STAGES, num_stages=2, layer_scale_init_value=1.0, patch_size=2),
    image("ResNet", embedding_size=8, **STAGES, layer_type="basic"),
    image("RegNet", embedding_size=8, **STAGES, groups_width=4),
    image("MobileNetV2", image_size=16, depth_multiplier=0.1, depth_divisible_by=4, min_depth=4),
    Case("transformers MobileViT", made(
        "MobileViTForImageClassification", "MobileViT", num_labels=3, **MOBILE_VIT),
         numbers(3, 32, 32, side=8, names=("pixel_values",)), steps=40, rate=3e-3),
    image("PoolFormer", **STAGES, patch_sizes=[4, 2], strides=[4, 2], padding=[0, 0], num_encoder_blocks=2),
]  # fmt: skip
