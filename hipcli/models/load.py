"""A model on disk to a model in memory, with the attention asked for and proof that it is used."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipcli.engine.allocator import keep_freed_memory
from hipcli.errors import ExitCode, HipError
from hipcli.models.resolve import ModelSource, read_config

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_SMOKE_TOKENS = 16
_CPUINFO = Path("/proc/cpuinfo")


def quiet_transformers() -> None:
    """Keep transformers' progress bars and advice off the terminal, which belongs to hip."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(source: ModelSource) -> "PreTrainedTokenizerBase":
    """Load a model's tokenizer. Raises HipError when the folder has none that can be read."""
    from transformers import AutoTokenizer

    quiet_transformers()
    try:
        return AutoTokenizer.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    # A damaged tokenizer.json raises a bare Exception from Rust, a missing one OSError, ValueError or ImportError.
    except Exception as error:
        raise HipError(
            f"{source.name}: its tokenizer cannot be loaded: {_first_line(error)}", "download the model again"
        ) from error


def choose_device(device: str = "auto") -> "torch.device":
    """The device for "auto", "cpu", "cuda" or "cuda:N". Raises HipError for one that is not there."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise HipError(f"--device {device}: no such kind of device", "use auto, cpu or cuda", ExitCode.USAGE) from error
    if chosen.type not in ("cpu", "cuda"):
        raise HipError(f"--device {device}: not supported", "use auto, cpu or cuda", ExitCode.USAGE)
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            found = f"{count} CUDA device{'s' * (count != 1)} found"
            raise HipError(f"--device {device}: {found}", "use --device cpu, or check the driver with `hip doctor`")
    return chosen


def choose_dtype(dtype: str, device: "torch.device") -> "torch.dtype":
    """The weights' type for "auto" or a name. "auto" is the shortest type that the device computes natively."""
    import torch

    names = {
        "bfloat16": torch.bfloat16,
        "bf16": torch.bfloat16,
        "float16": torch.float16,
        "fp16": torch.float16,
        "float32": torch.float32,
        "fp32": torch.float32,
    }
    if dtype in names:
        return names[dtype]
    if dtype != "auto":
        raise HipError(f"--dtype {dtype}: no such type", "use auto, bfloat16, float16 or float32", ExitCode.USAGE)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def load_model(
    source: ModelSource, device: str = "auto", dtype: str = "auto", attention: str = "hip"
) -> "PreTrainedModel":
    """Load a model in evaluation mode with the attention implementation `attention`.

    The process keeps the memory that it frees from then on (see `allocator`).
    Raises HipError when the model cannot be loaded, does not fit the device (exit code 3), or does not let its
    attention be replaced; the last is tried on a few tokens rather than believed.
    """
    import torch

    quiet_transformers()
    keep_freed_memory()
    place, number_type = choose_device(device), choose_dtype(dtype, choose_device(device))
    config = _load_config(source)
    if attention == "hip":
        from hip_attention.transformers import check_supported

        from hipcli.models.packing import pack_linear_layers
        from hipcli.models.projections import fuse_attention

        try:
            check_supported(config)
        except ValueError as error:
            raise HipError(
                f"{source.name}: {error}", "use another model, such as Llama, Qwen 2 or 3, Mistral or Gemma 3"
            ) from error
    try:
        model = _load_weights(source, config, place, number_type, attention)
        if attention == "hip":
            fuse_attention(model)
            pack_linear_layers(model)  # now, as the smoke test takes seconds otherwise
        _smoke_test(source, model, attention)
    except torch.OutOfMemoryError as error:
        raise HipError(
            f"{source.name}: the model does not fit on {place}",
            "use a smaller model, or --device cpu",
            ExitCode.DOES_NOT_FIT,
        ) from error
    except MemoryError as error:
        raise HipError(
            f"{source.name}: the model does not fit in memory", "use a smaller model", ExitCode.DOES_NOT_FIT
        ) from error
    return model


def _load_config(source: ModelSource) -> "PretrainedConfig":
    from transformers import AutoConfig

    raw = read_config(source.path, source.name)
    try:
        config = AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    # Configs validate themselves with errors of several libraries, all of them about a bad config.json.
    except Exception as error:
        if "auto_map" in raw:
            raise HipError(
                f"{source.name}: model type {raw.get('model_type')!r} needs code from its own repository, "
                "which hip never runs",
                "use a model that transformers knows by itself",
            ) from error
        raise HipError(f"{source.name}: {_first_line(error)}", "update transformers, or use another model") from error
    return config.text_config if config.model_type == "gemma3" else config


def _load_weights(
    source: ModelSource, config: "PretrainedConfig", device: "torch.device", dtype: "torch.dtype", attention: str
) -> "PreTrainedModel":
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    wrapped = config.model_type == "gemma3_text" and "text_config" in read_config(source.path, source.name)
    options: dict[str, Any] = {"device_map": {"": str(device)}} if device.type == "cuda" else {}
    if wrapped:
        # Gemma 3's multimodal checkpoints keep the language model below another name, in old files and in new ones.
        options["key_mapping"] = {
            r"^(model\.language_model|language_model\.model)\.": "model.",
            r"^language_model\.lm_head\.": "lm_head.",
        }
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            source.path,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise HipError(f"{source.name}: cannot be loaded: {_first_line(error)}", "try another model") from error
    # transformers fills what is missing with random numbers and goes on.
    if absent := sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"]):
        raise HipError(
            f"{source.name}: {len(absent)} weights are missing or of the wrong shape, such as {absent[0]}",
            "download the model again, completely",
        )
    return model.eval()


def _smoke_test(source: ModelSource, model: "PreTrainedModel", attention: str) -> None:
    """Run a few tokens and see that every layer went through `attention` and that numbers came out."""
    import torch

    refusal = HipError(
        f"{source.name}: {model.config.model_type} models do not let their attention be replaced",
        "use Llama, Qwen 2 or 3, Mistral or Gemma 3, or a model derived from them",
    )
    if not model._can_set_attn_implementation():
        raise refusal
    ids = torch.arange(_SMOKE_TOKENS, device=model.device)[None] % model.config.vocab_size
    with torch.inference_mode():
        if attention != "hip":
            logits = model(ids, use_cache=False).logits
        else:
            from hip_attention.transformers import count_calls

            try:
                with count_calls() as counter:
                    logits = model(ids, use_cache=False).logits
            except (ValueError, KeyError) as error:
                raise HipError(f"{refusal.message} ({_first_line(error)})", refusal.hint) from error
            if counter.calls < model.config.num_hidden_layers:
                raise refusal
    if not torch.isfinite(logits).all():
        raise HipError(
            f"{source.name}: its output is not a number in {str(model.dtype).removeprefix('torch.')}",
            "try --dtype float32; if that does not help, download the model again",
        )


def _cpu_has_bfloat16() -> bool:
    """Whether bfloat16 products run in hardware; emulated they are slower than float32."""
    import torch

    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    flags = _CPUINFO.read_text(encoding="utf-8", errors="replace").split() if _CPUINFO.is_file() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
