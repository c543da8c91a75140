//! Names of attributes, in one place: those of OpenTelemetry's conventions for generative AI and HTTP, and ours. What has no name here
//! is in no span.

/// `chat`, `text_completion`.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Always [`PROVIDER_NAME`].
pub const PROVIDER: &str = "gen_ai.provider.name";
pub const PROVIDER_NAME: &str = "mythic";
/// The model as it was asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub const TEMPERATURE: &str = "gen_ai.request.temperature";
/// The model that answered, with the beginning of its identity.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// A list of strings.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";

pub const METHOD: &str = "http.request.method";
pub const ROUTE: &str = "http.route";
pub const STATUS: &str = "http.response.status_code";
/// A word, never a message: messages may hold what a caller sent.
pub const ERROR: &str = "error.type";

/// The job's address, base58.
pub const JOB: &str = "mythic.job";
/// The lease's address, base58.
pub const LEASE: &str = "mythic.lease";
/// The validator's authority, base58.
pub const VALIDATOR: &str = "mythic.validator";
/// Under what the request is in the logs.
pub const REQUEST_ID: &str = "mythic.request_id";
/// A kind of crank.
pub const CRANK: &str = "mythic.crank";
pub const SLOT: &str = "mythic.slot";
/// A job's state on the chain.
pub const STATE: &str = "mythic.state";
