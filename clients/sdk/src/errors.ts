/** Every error that the SDK throws. */

/** What all errors of the SDK are. */
export class MythicError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What the gateway says of a failure. */
export interface ErrorDetail {
  /** What is wrong and how to mend it, for people. */
  message: string;
  /** OpenAI's kind of error, for example `invalid_request_error`. */
  type?: string;
  /** Stable word that programs match on, for example `no_validator`. */
  code?: string;
  /** The request parameter at fault. */
  param?: string | null;
  /** The job that exists already: sending the request again buys another answer. */
  job_id?: string | null;
}

/** The gateway refused or failed. There is a class for each status. */
export class ApiError extends MythicError {
  /** HTTP status. */
  readonly status: number;
  /** Stable word that programs match on; empty where the answer is not the gateway's own. */
  readonly code: string;
  /** OpenAI's kind of error. */
  readonly type: string;
  /** The request parameter at fault. */
  readonly param: string | undefined;
  /** The job that exists already, if the request failed with one. */
  readonly jobId: string | undefined;
  /** Under which the gateway's log has the cause. */
  readonly requestId: string | undefined;
  /** When to come again, if the gateway says so. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, detail: ErrorDetail, about: { requestId?: string; retryAfterMs?: number } = {}) {
    super(detail.code ? `${detail.code}: ${detail.message}` : detail.message);
    this.status = status;
    this.code = detail.code ?? "";
    this.type = detail.type ?? "";
    this.param = detail.param ?? undefined;
    this.jobId = detail.job_id ?? undefined;
    this.requestId = about.requestId;
    this.retryAfterMs = about.retryAfterMs;
  }
}

/** 400: a parameter is wrong; `param` names it. */
export class BadRequestError extends ApiError {}
/** 401: the key or the signature is not accepted. */
export class AuthenticationError extends ApiError {}
/** 402: vault, grant or credit do not cover it. */
export class PaymentRequiredError extends ApiError {}
/** 403: not for this key. */
export class PermissionDeniedError extends ApiError {}
/** 404: there is no such thing. */
export class NotFoundError extends ApiError {}
/** 405: the route takes another method. */
export class MethodNotAllowedError extends ApiError {}
/** 408: the request came too slowly. */
export class RequestTimeoutError extends ApiError {}
/** 409: the same request is under way, or something is not ready yet. */
export class ConflictError extends ApiError {}
/** 410: what was asked for is no longer kept, such as old events. */
export class GoneError extends ApiError {}
/** 413: the body is too large. */
export class PayloadTooLargeError extends ApiError {}
/** 414: the address is too long. */
export class UriTooLongError extends ApiError {}
/** 415: the body has a type or an encoding that is not taken. */
export class UnsupportedMediaTypeError extends ApiError {}
/** 422: understood, and refused: an idempotency key used for another request, a payment that is none. */
export class UnprocessableEntityError extends ApiError {}
/** 426: the route speaks WebSocket. */
export class UpgradeRequiredError extends ApiError {}
/** 429: too much at once. */
export class RateLimitError extends ApiError {}
/** 431: the headers are too large. */
export class HeadersTooLargeError extends ApiError {}
/** 500: the gateway failed. */
export class InternalServerError extends ApiError {}
/** 502: validator or chain failed; `jobId` names the job. */
export class BadGatewayError extends ApiError {}
/** 503: not now. */
export class ServiceUnavailableError extends ApiError {}

const CLASSES: Readonly<Record<number, typeof ApiError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  402: PaymentRequiredError,
  403: PermissionDeniedError,
  404: NotFoundError,
  405: MethodNotAllowedError,
  408: RequestTimeoutError,
  409: ConflictError,
  410: GoneError,
  413: PayloadTooLargeError,
  414: UriTooLongError,
  415: UnsupportedMediaTypeError,
  422: UnprocessableEntityError,
  426: UpgradeRequiredError,
  429: RateLimitError,
  431: HeadersTooLargeError,
  500: InternalServerError,
  502: BadGatewayError,
  503: ServiceUnavailableError,
};

/** The error of a status. */
export function apiError(...[status, detail, about]: ConstructorParameters<typeof ApiError>): ApiError {
  const Class = CLASSES[status] ?? ApiError;
  return new Class(status, detail, about);
}

/** No answer came: the gateway is away, or the line is. */
export class ConnectionError extends MythicError {}
/** No answer, or nothing more of one, came in time. */
export class TimeoutError extends ConnectionError {}
/** The answer is not what the gateway's protocol says, for example not JSON. */
export class ProtocolError extends MythicError {}

/** The caller aborted it. What it cost is in `jobs.cost(jobId)`. */
export class AbortedError extends MythicError {
  override name = "AbortError";

  constructor(
    /** The job that was under way, if it was known already. */
    readonly jobId?: string,
    options?: ErrorOptions,
  ) {
    super(jobId ? `aborted; job ${jobId} is paid for what its validator had handed out` : "aborted", options);
  }
}

/** A stream broke and could not be joined again. */
export class StreamInterruptedError extends MythicError {
  constructor(
    message: string,
    /** The job that was under way. */
    readonly jobId: string | undefined,
    /** What had come of the answer. */
    readonly partial: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The chain refused a transaction. */
export class ChainRefusedError extends MythicError {
  constructor(
    message: string,
    /** Where it can be looked up, if it was sent. */
    readonly signature: string | undefined,
    /** The program's number for the refusal. */
    readonly programError: number | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * A lease was asked for, and did not come to an endpoint. Its money is in the request until a provider takes it (`leases.cancel(request)`
 * takes it back), and in the lease from then on (`leases.close(lease)` does). `cause` says what went wrong; where the caller aborted it, the
 * name is `AbortError`.
 */
export class LeaseError extends MythicError {
  readonly #apiKey: string;

  constructor(
    why: string,
    /** The request's address. */
    readonly request: string,
    /** The address of the lease that the request becomes. */
    readonly lease: string,
    apiKey: string,
    options?: ErrorOptions,
  ) {
    super(`${why} (request ${request}, lease ${lease})`, options);
    if (options?.cause instanceof AbortedError) this.name = "AbortError";
    this.#apiKey = apiKey;
  }

  /** The key of the endpoint, which nobody else has. Not a field: whoever logs an error does not log the key. */
  get apiKey(): string {
    return this.#apiKey;
  }
}

/** The gateway's terms are not what was asked for, or cost more than was allowed. Nothing was signed. */
export class TermsRefusedError extends MythicError {}

/** The wallet did not sign. */
export class WalletRefusedError extends MythicError {}
