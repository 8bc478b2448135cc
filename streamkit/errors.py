"""Every error streamkit raises: one tree, each leaf with a stable code.

StreamkitError
├── ConfigError                       what the caller asked for is wrong (also a ValueError)
│   ├── BlockError                    ... with a step: it needs a stream, or tracks
│   └── DocumentError                 ... in a pipeline document, with a line for each mistake
├── SourceError                       a video source cannot be opened or was lost
│   └── SourceConnectionError         ... while connecting (the neighbour's name, kept for scripts)
├── AdmissionRefusedError             one more stream does not fit: the model has no room for it
├── StreamOperationNotAllowedError    this operation makes no sense in this state
├── TrackingRequiredError             a stage needs objects that were tracked
├── StreamRequiredError               a stage needs the frames of one stream, in order
├── FrameWithheldError                one frame must not be shown: it could not be redacted
├── ModelError                        a model cannot be found, loaded or run
│   ├── ModelNotFoundError            (also a LookupError)
│   ├── ModelAccessError              this key may not use it
│   ├── ModelUnavailableError         who has it cannot be asked now, or does not answer
│   ├── ModelCacheError               its files cannot be kept on this machine
│   ├── ModelArtefactError            its files are missing, damaged or contradict each other
│   └── InferenceError                it was loaded, and failed on a picture
├── SinkError                         a result could not be written
│   ├── OutboxError                   what is to be delivered cannot be kept on this machine
│   ├── DeliveryFailedError           a receiver did not take it now; it is tried again
│   └── DeliveryRefusedError          a receiver will never take it: a dead letter
├── SignatureError                    a delivery was not made by who has the secret, or long ago
└── ClosedError                       the other side of a hand-over has gone
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class StreamErrorCode(StrEnum):
    """Why a source failed; the names are stable and travel in events, logs and exit codes."""

    CONNECTION_FAILED = "STREAM_CONNECTION_FAILED"
    REFUSED = "STREAM_REFUSED"
    UNREACHABLE = "STREAM_UNREACHABLE"
    AUTH_FAILED = "STREAM_AUTH_FAILED"
    TLS_CERTIFICATE = "STREAM_TLS_CERTIFICATE"
    TLS_HANDSHAKE = "STREAM_TLS_HANDSHAKE"
    TIMEOUT = "STREAM_TIMEOUT"
    NOT_FOUND = "STREAM_NOT_FOUND"
    CODEC_UNSUPPORTED = "STREAM_CODEC_UNSUPPORTED"
    NO_VIDEO = "STREAM_NO_VIDEO"
    CORRUPT = "STREAM_CORRUPT"
    FROZEN = "STREAM_FROZEN"
    BLACK = "STREAM_BLACK"
    COVERED = "STREAM_COVERED"
    UNSTABLE = "STREAM_UNSTABLE"
    DECODER_DIED = "STREAM_DECODER_DIED"
    LOST = "STREAM_LOST"
    INTERRUPTED = "STREAM_INTERRUPTED"


class ModelErrorCode(StrEnum):
    """Why a model could not be had; stable, like ``StreamErrorCode``."""

    KEY_MISSING = "MODEL_KEY_MISSING"
    KEY_REFUSED = "MODEL_KEY_REFUSED"
    PAYMENT_REQUIRED = "MODEL_PAYMENT_REQUIRED"
    FORBIDDEN = "MODEL_ACCESS_FORBIDDEN"
    USAGE_PAUSED = "MODEL_USAGE_PAUSED"
    UNREACHABLE = "MODEL_SOURCE_UNREACHABLE"
    TIMEOUT = "MODEL_SOURCE_TIMEOUT"
    FAILED = "MODEL_SOURCE_FAILED"
    MALFORMED = "MODEL_SOURCE_MALFORMED"
    TRUNCATED = "MODEL_DOWNLOAD_TRUNCATED"
    OFFLINE = "MODEL_OFFLINE"
    HASH_MISMATCH = "MODEL_HASH_MISMATCH"
    CACHE_FULL = "MODEL_CACHE_FULL"
    CACHE_READ_ONLY = "MODEL_CACHE_READ_ONLY"
    CACHE_BUSY = "MODEL_CACHE_BUSY"
    CACHE_FAILED = "MODEL_CACHE_FAILED"


class OutboxErrorCode(StrEnum):
    """What is wrong with an outbox; stable, like ``StreamErrorCode``."""

    FULL = "OUTBOX_FULL"
    TOO_LARGE = "OUTBOX_MESSAGE_TOO_LARGE"
    DISK_FULL = "OUTBOX_DISK_FULL"
    READ_ONLY = "OUTBOX_READ_ONLY"
    DISK_FAILED = "OUTBOX_DISK_FAILED"
    BUSY = "OUTBOX_BUSY"
    DAMAGED = "OUTBOX_DAMAGED"
    FAILED = "OUTBOX_FAILED"


class StreamkitError(Exception):
    """Base of all errors; ``code`` is stable and made for programs, the text for people."""

    code: str = "STREAMKIT_ERROR"


class ConfigError(StreamkitError, ValueError):
    """An option, a document or an argument is wrong; the text names it and the choices."""

    code = "CONFIG_INVALID"


class BlockErrorCode(StrEnum):
    """Why blocks cannot be put together like this; stable, like ``StreamErrorCode``."""

    NEEDS_STREAM = "BLOCK_NEEDS_STREAM"
    NEEDS_TRACKS = "BLOCK_NEEDS_TRACKS"
    INVALID = "BLOCK_INVALID"


class BlockError(ConfigError):
    """A step cannot be used here, or with these options; ``place`` counts the steps from 0."""

    def __init__(self, message: str, code: BlockErrorCode, place: int) -> None:
        super().__init__(message)
        self.code = code
        self.place = place


class DocumentError(ConfigError):
    """A pipeline document is wrong. ``problems`` has a line of text for each mistake, with
    document, line and column, key, and the choices; never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class SourceError(StreamkitError):
    """A source cannot be opened or was lost; ``source_reference`` carries no credentials."""

    code: StreamErrorCode = StreamErrorCode.CONNECTION_FAILED

    def __init__(
        self,
        message: str,
        code: StreamErrorCode = StreamErrorCode.CONNECTION_FAILED,
        *,
        source_reference: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.source_reference = source_reference


class SourceConnectionError(SourceError):
    """The source could not be opened (again)."""


class StreamOperationNotAllowedError(StreamkitError):
    """The operation makes no sense in the present state."""

    code = "OPERATION_NOT_ALLOWED"


class TrackingRequiredError(StreamkitError):
    """A stage that follows objects through time got some that nobody has tracked."""

    code = "TRACKING_REQUIRED"


class StreamRequiredError(StreamkitError):
    """A stage that remembers got frames of several streams, or one that came before the last."""

    code = "STREAM_REQUIRED"


class FrameWithheldError(StreamkitError):
    """What is private in this frame could not be covered: it is dropped, its stream goes on."""

    code = "FRAME_WITHHELD"


class AdmissionRefusedError(StreamkitError):
    """A stream needs more of a model than there is; the text tells the numbers, and what fits."""

    code = "ADMISSION_REFUSED"


class ModelError(StreamkitError):
    """A model cannot be found, loaded or run."""

    code = "MODEL_ERROR"


class ModelNotFoundError(ModelError, LookupError):
    """No model answers to this id."""

    code = "MODEL_NOT_FOUND"


class ModelAccessError(ModelError):
    """The key (or its absence) gives no right to the model; never carries the key."""

    def __init__(self, message: str, code: ModelErrorCode = ModelErrorCode.KEY_REFUSED) -> None:
        super().__init__(message)
        self.code = code


class ModelUnavailableError(ModelError):
    """Who has the model is down, slow, out of reach or talks nonsense; it may work later."""

    def __init__(
        self,
        message: str,
        code: ModelErrorCode = ModelErrorCode.FAILED,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds to wait, where the other side said so."""


class ModelCacheError(ModelError):
    """The cache directory is full, read-only, or held by another process."""

    def __init__(self, message: str, code: ModelErrorCode = ModelErrorCode.CACHE_FAILED) -> None:
        super().__init__(message)
        self.code = code


class ModelArtefactError(ModelError):
    """A model's files are missing, damaged, or contradict each other."""

    code = "MODEL_ARTEFACT_INVALID"

    def __init__(self, message: str, code: ModelErrorCode | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InferenceError(ModelError):
    """A loaded model failed on a picture."""

    code = "INFERENCE_FAILED"


class SinkError(StreamkitError):
    """A result could not be written."""

    code = "SINK_FAILED"


class OutboxError(SinkError):
    """An outbox is full, or its file cannot be used; says what becomes of the messages."""

    def __init__(self, message: str, code: OutboxErrorCode = OutboxErrorCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


class DeliveryFailedError(SinkError):
    """A receiver did not take something now, and may later; raised by a ``Destination``."""

    code = "DELIVERY_FAILED"

    def __init__(
        self, message: str, *, retry_after: float | None = None, delivered: int = 0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds, where the receiver said so: the whole destination waits for that long."""
        self.delivered = delivered
        """So many of the messages, counted from the first, were taken."""


class DeliveryRefusedError(SinkError):
    """A receiver will never take this; raised by a ``Destination``, and the end of the message."""

    code = "DELIVERY_REFUSED"

    def __init__(self, message: str, *, delivered: int = 0) -> None:
        super().__init__(message)
        self.delivered = delivered
        """So many of the messages, counted from the first, were taken."""


class SignatureError(StreamkitError):
    """What came was not signed with any of the secrets, or too long ago; never carries them."""

    code = "SIGNATURE_INVALID"


class ClosedError(StreamkitError):
    """The other side of a hand-over has gone; the receiver of this stops quietly."""

    code = "CLOSED"
