//! Options of `http_check`.

use std::time::Duration;

use fancy_regex::Regex;
use muster_actors::ports::LoadError;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value as Json};

use super::super::common::Trust;
use super::super::http_client::Target;
use super::super::http_options::HttpOptions;
use super::super::options::{Options, compile};
use super::super::settings::CheckSettings;
use super::super::tls::TlsOptions;

/// Status codes that count as up unless `http_response_status_code` says otherwise.
const DEFAULT_EXPECTED_CODE: &str = r"(1|2|3)\d\d";
/// Methods that carry `data`.
const DATA_METHODS: [&str; 5] = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
/// Old names of keys and the names they have now.
const ALIASES: [(&str, &str); 5] = [
    ("client_cert", "tls_cert"),
    ("client_key", "tls_private_key"),
    ("ca_certs", "tls_ca_cert"),
    ("ignore_ssl_warning", "tls_ignore_warning"),
    ("check_hostname", "tls_validate_hostname"),
];
const SECONDS_PER_DAY: u64 = 24 * 3600;

/// A checked instance of `http_check`.
#[derive(Debug)]
pub(super) struct HttpCheckOptions {
    /// Name as given; normalised for tags.
    pub(super) name: String,
    /// URL as given, for tags and messages.
    pub(super) url: String,
    /// URL to ask.
    pub(super) target: Target,
    /// Request method.
    pub(super) method: Method,
    /// Request body.
    pub(super) body: Option<Vec<u8>>,
    /// What the status code must match from its start.
    pub(super) expected_code: Regex,
    /// The same as shown in messages.
    pub(super) expected_text: String,
    /// Whether messages end with the body.
    pub(super) include_content: bool,
    /// Whether the response time is sent.
    pub(super) collect_response_time: bool,
    /// What the body must contain.
    pub(super) content_match: Option<(Regex, String)>,
    /// Whether the body must not contain it.
    pub(super) reverse_content_match: bool,
    /// Whether the body is only read when something must be found in it.
    pub(super) stream: bool,
    /// Whether the `http_outcome` tag is added.
    pub(super) outcome_tag: bool,
    /// The certificate part, `None` when not asked for or not `https`.
    pub(super) expiry: Option<ExpiryOptions>,
    /// How to send requests.
    pub(super) http: HttpOptions,
}

/// Options of the certificate part.
#[derive(Clone, Debug)]
pub(super) struct ExpiryOptions {
    /// Host to connect to.
    pub(super) host: String,
    /// Port to connect to.
    pub(super) port: u16,
    /// Name to ask for and to compare.
    pub(super) server_name: String,
    /// Limit for connecting and for the handshake.
    pub(super) timeout: Duration,
    /// Below this much validity the state is warning. Units: seconds.
    pub(super) warning_seconds: u64,
    /// Below this much validity the state is critical. Units: seconds.
    pub(super) critical_seconds: u64,
    /// Whether to use the certificate of the checked response instead of another connection.
    pub(super) from_response: bool,
    /// Whether a certificate that nobody verified may be looked at.
    pub(super) unvalidated: bool,
    /// TLS of the extra connection; verifies unless `tls_verify` says otherwise.
    pub(super) tls: TlsOptions,
}

/// Reads and checks an instance.
pub(super) fn read(
    instance: &Map<String, Json>,
    init: Options<'_>,
    trust: Trust,
    settings: &CheckSettings,
) -> Result<HttpCheckOptions, LoadError> {
    refuse_untrusted_aliases(Options::new(instance, ""), trust)?;
    let renamed = with_current_names(instance);
    let options = Options::new(&renamed, "");
    let name = options.required_text("name", "a name for this instance, it becomes the tag `instance`")?;
    let url = options.required_text("url", "the URL to check, starting with http:// or https://")?;
    if !url.starts_with("http") {
        return Err(options.error("url", "a URL that starts with http:// or https://"));
    }
    let target = Target::parse(&url).map_err(|problem| options.error("url", format!("a URL ({problem})")))?;
    let method_text = options.text("method")?.unwrap_or_else(|| "get".to_owned()).to_ascii_uppercase();
    let method = Method::from_bytes(method_text.as_bytes()).map_err(|_| options.error("method", "an HTTP method, for example get"))?;
    let from_response = options.flag_or("use_cert_from_response", false)?;

    // The request itself does not verify certificates unless asked to: upstream's `disable_ssl_validation` is true by default.
    let mut for_requests = renamed.clone();
    if !options.has("tls_verify") {
        let disabled = options.flag_or("disable_ssl_validation", !from_response)?;
        for_requests.insert("tls_verify".to_owned(), Json::Bool(!disabled));
    }
    let mut http = HttpOptions::read(Options::new(&for_requests, ""), init, trust, settings)?;
    let mut body = None;
    if DATA_METHODS.contains(&method_text.as_str()) {
        body = request_body(options)?;
        // The same default for texts and mappings, as upstream has it.
        http.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    let expected_text = options.text("http_response_status_code")?.unwrap_or_else(|| DEFAULT_EXPECTED_CODE.to_owned());
    let expected_code = compile(&format!("^(?:{expected_text})"))
        .map_err(|problem| options.error("http_response_status_code", format!("a status code or a regular expression ({problem})")))?;
    let content_text = options.text("content_match")?.filter(|text| !text.is_empty());
    let content_match = options.regex("content_match")?.zip(content_text);
    let expiry = if options.flag_or("check_certificate_expiration", true)? && target.url().scheme() == "https" {
        Some(expiry(options, init, trust, &target, http.connect_timeout, from_response)?)
    } else {
        None
    };
    Ok(HttpCheckOptions {
        name,
        expected_code,
        expected_text: if expected_text == DEFAULT_EXPECTED_CODE { "1xx or 2xx or 3xx".to_owned() } else { expected_text },
        include_content: options.flag_or("include_content", false)?,
        collect_response_time: options.flag_or("collect_response_time", true)?,
        content_match,
        reverse_content_match: options.flag_or("reverse_content_match", false)?,
        stream: from_response || options.flag_or("stream", false)?,
        outcome_tag: options.flag_or("enable_http_outcome_tag", false)?,
        expiry,
        url,
        target,
        method,
        body,
        http,
    })
}

/// Names the key as the author wrote it when it is refused.
fn refuse_untrusted_aliases(instance: Options<'_>, trust: Trust) -> Result<(), LoadError> {
    ["client_cert", "client_key", "ca_certs"].iter().try_for_each(|key| trust.allow_file(instance, key))
}

/// The instance with today's key names.
fn with_current_names(instance: &Map<String, Json>) -> Map<String, Json> {
    let mut renamed = instance.clone();
    for (old, new) in ALIASES {
        let missing = renamed.get(new).is_none_or(Json::is_null);
        if let Some(value) = renamed.remove(old).filter(|value| missing && !value.is_null()) {
            renamed.insert(new.to_owned(), value);
        }
    }
    renamed
}

/// A mapping or list is sent as JSON, a text as it is.
fn request_body(options: Options<'_>) -> Result<Option<Vec<u8>>, LoadError> {
    match options.get("data") {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone().into_bytes())),
        Some(Json::Object(map)) if map.is_empty() => Ok(None),
        Some(value @ Json::Object(_)) => Ok(Some(value.to_string().into_bytes())),
        Some(_) => Err(options.error("data", "a text, or a mapping that is sent as JSON")),
    }
}

fn expiry(
    options: Options<'_>,
    init: Options<'_>,
    trust: Trust,
    target: &Target,
    timeout: Duration,
    from_response: bool,
) -> Result<ExpiryOptions, LoadError> {
    let host = target.url().host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let threshold = |seconds: &str, days: &str, default_days: u64| -> Result<u64, LoadError> {
        Ok(match (options.count(seconds)?.unwrap_or(0), options.count(days)?.unwrap_or(0)) {
            (0, 0) => default_days * SECONDS_PER_DAY,
            (0, days) => days.saturating_mul(SECONDS_PER_DAY),
            (seconds, _) => seconds,
        })
    };
    let mut tls = TlsOptions::read(options, trust)?;
    if tls.authority.is_none() {
        trust.allow_file(init, "ca_certs")?;
        tls.authority = init.path("ca_certs")?;
    }
    Ok(ExpiryOptions {
        port: target.url().port_or_known_default().unwrap_or(443),
        server_name: options.text("ssl_server_name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| host.clone()),
        host,
        timeout,
        warning_seconds: threshold("seconds_warning", "days_warning", 14)?,
        critical_seconds: threshold("seconds_critical", "days_critical", 7)?,
        from_response,
        unvalidated: tls.verify || options.flag_or("tls_retrieve_non_validated_cert", false)?,
        tls,
    })
}
