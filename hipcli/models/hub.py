"""A Hugging Face id to a local folder: cache first, network when needed, every way to fail in one line."""

from collections.abc import Callable
from pathlib import Path

from hipcli.errors import HipError

# What a causal language model needs: never code, never pickled weights, no second copy in a subfolder.
_WANTED = ["*.json", "*.jinja", "*.safetensors", "*.model", "tokenizer*", "merges.txt", "vocab.txt"]
_UNWANTED = ["*/*", "consolidated*", "*.py", "*.bin", "*.pt", "*.pth"]


def cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a model already in the Hugging Face cache, complete or not; None when it is not there.

    Raises HipError for a name that no model can have.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise HipError(f"{repository}: no such folder, nor a possible Hugging Face id", "check the spelling") from error
    except LocalEntryNotFoundError:
        return None


def cached_names() -> list[str]:
    """Names of the models in the Hugging Face cache, whatever they are, sorted; `@revision` where it is not main."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    names = []
    for repository in repositories:
        if repository.repo_type != "model":
            continue
        for revision in repository.revisions:
            suffix = "" if "main" in revision.refs else f"@{min(revision.refs, default=revision.commit_hash)}"
            names.append(repository.repo_id + suffix)
    return sorted(names)


def fetch(
    repository: str,
    revision: str | None,
    accept: Callable[[Path], None],
    say: Callable[[str], None],
) -> Path:
    """Download a model into the Hugging Face cache and return its folder.

    `accept` is given the folder with config.json alone and raises HipError for a model not worth downloading.
    Raises HipError when there is no such model, it may not be read, or the network is not there.
    """
    from huggingface_hub import errors, hf_hub_download, snapshot_download
    from huggingface_hub.utils import logging

    name = f"{repository}@{revision}" if revision else repository
    page = f"https://huggingface.co/{repository}"
    logging.set_verbosity_error()  # its retries are announced one by one
    say(f"asking Hugging Face for {name}")
    try:
        folder = Path(hf_hub_download(repository, "config.json", revision=revision)).parent
        accept(folder)
        return Path(
            snapshot_download(repository, revision=folder.name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED)
        )
    except errors.GatedRepoError as error:
        raise HipError(
            f"{name}: its owner asks for an agreement before it can be downloaded",
            f"accept it at {page}, then set HF_TOKEN or run `hf auth login`",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HipError(
            f"{name}: no such folder here, and no such model on Hugging Face (or it is private)",
            "check the spelling; for a private model set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HipError(f"{name}: no such revision", f"see the branches and tags at {page}") from error
    except errors.LocalEntryNotFoundError as error:
        raise _offline(name) from error
    except errors.EntryNotFoundError as error:
        raise HipError(
            f"{name}: no config.json in that repository",
            "if it holds GGUF files, download one and give its path; otherwise use the safetensors version",
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise HipError(f"{name}: Hugging Face answered {status}", "try again later") from error
    except OSError as error:
        raise HipError(
            f"{name}: download failed: {error.strerror or error}",
            "check the network and the disk of HF_HOME, and try again: it goes on where it stopped",
        ) from error


def _offline(name: str) -> HipError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return HipError(
            f"{name}: not in the Hugging Face cache, and HF_HUB_OFFLINE forbids the network",
            f"run `hip models pull {name}` once without HF_HUB_OFFLINE, or give --model a folder or GGUF file",
        )
    return HipError(
        f"{name}: not in the Hugging Face cache, and Hugging Face cannot be reached",
        f"run `hip models pull {name}` once where there is a network, or give --model a folder or GGUF file",
    )
