//! Options shared by all checks that speak HTTP. Source: node-runner 10.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fancy_regex::Regex;
use muster_actors::ports::LoadError;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::common::Trust;
use super::options::{Options, scalar_text};
use super::settings::{AgentProxy, CheckSettings};
use super::tls::TlsOptions;

/// Time allowed for connecting, and between two pieces of an answer. Source: node-runner 10, `timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Place of the token in a header value unless `placeholder` says otherwise.
const TOKEN_PLACEHOLDER: &str = "<TOKEN>";

/// How to talk HTTP to a target.
#[derive(Clone)]
pub(crate) struct HttpOptions {
    /// Limit for connecting.
    pub(crate) connect_timeout: Duration,
    /// Limit for every wait for bytes.
    pub(crate) read_timeout: Duration,
    /// Headers of every request, basic authentication included.
    pub(crate) headers: HeaderMap,
    /// Header with a token read from a file for every run.
    pub(crate) token: Option<TokenHeader>,
    /// Proxies of this instance, already chosen between instance, init_config and agent.
    pub(crate) proxy: AgentProxy,
    /// Whether connections stay open between runs.
    pub(crate) persist_connections: bool,
    /// Whether redirects are followed.
    pub(crate) allow_redirects: bool,
    /// Whether each request is logged at debug level.
    pub(crate) log_requests: bool,
    /// TLS keys.
    pub(crate) tls: TlsOptions,
    /// Host of the `Host` header when TLS is to use it instead of the URL's.
    pub(crate) tls_host: Option<String>,
}

impl fmt::Debug for HttpOptions {
    /// Leaves headers and proxies out: they hold credentials.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpOptions").field("tls", &self.tls).field("tls_host", &self.tls_host).finish_non_exhaustive()
    }
}

/// A token in a file and the header that carries it.
#[derive(Clone, Debug)]
pub(crate) struct TokenHeader {
    /// File with the token.
    pub(crate) path: PathBuf,
    /// Takes the token out of the file's text by its first group; `None` = the whole text without surrounding blanks.
    pub(crate) pattern: Option<Regex>,
    /// Header name.
    pub(crate) name: HeaderName,
    /// Header value with the placeholder.
    pub(crate) value: String,
    /// What the token replaces in the value.
    pub(crate) placeholder: String,
}

impl HttpOptions {
    /// Reads them from instance and init_config.
    pub(crate) fn read(instance: Options<'_>, init: Options<'_>, trust: Trust, settings: &CheckSettings) -> Result<Self, LoadError> {
        refuse_other_authentication(instance)?;
        let timeout = match instance.seconds("timeout")? {
            Some(timeout) => timeout,
            None => init.seconds("timeout")?.unwrap_or(DEFAULT_TIMEOUT),
        };
        let headers = headers(instance, settings)?;
        let tls_host = match headers.get(HOST) {
            Some(host) if instance.flag_or("tls_use_host_header", false)? => {
                let host = host.to_str().map_err(|_| instance.error("headers", "a host name in ASCII under Host"))?;
                Some(host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned())
            }
            _ => None,
        };
        let either = |key: &str| -> Result<bool, LoadError> {
            match instance.flag(key)? {
                Some(flag) => Ok(flag),
                None => init.flag_or(key, false),
            }
        };
        Ok(Self {
            connect_timeout: instance.seconds("connect_timeout")?.unwrap_or(timeout),
            read_timeout: instance.seconds("read_timeout")?.unwrap_or(timeout),
            headers,
            token: token_header(instance, trust)?,
            proxy: proxy(instance, init, settings)?,
            persist_connections: instance.flag_or("persist_connections", false)?,
            allow_redirects: instance.flag_or("allow_redirects", true)?,
            log_requests: either("log_requests")?,
            tls: TlsOptions::read(instance, trust)?,
            tls_host,
        })
    }
}

/// Refuses what needs authentication that this build cannot do, rather than running without it.
fn refuse_other_authentication(instance: Options<'_>) -> Result<(), LoadError> {
    let mend = "basic; digest, ntlm, kerberos and aws need the Python checks, which are not available in this build";
    match instance.text("auth_type")?.as_deref() {
        None | Some("basic") => {}
        Some(_) => return Err(instance.error("auth_type", mend)),
    }
    for key in ["ntlm_domain", "kerberos_auth"] {
        if instance.text(key)?.is_some_and(|text| !text.is_empty() && text != "disabled") {
            return Err(instance.error(key, format!("nothing in this build; auth_type may be {mend}")));
        }
    }
    Ok(())
}

fn headers(instance: Options<'_>, settings: &CheckSettings) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    let own = instance.text_map("headers")?;
    // `headers` replaces the defaults. `Accept: */*` comes from the client itself.
    if own.is_empty() && instance.flag_or("include_default_headers", true)? {
        let agent = format!("Datadog Agent/{}", settings.agent_version);
        let agent = HeaderValue::from_str(&agent).unwrap_or(HeaderValue::from_static("Datadog Agent"));
        headers.insert(USER_AGENT, agent);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
    let extra = instance.text_map("extra_headers")?;
    let named = own.into_iter().map(|pair| ("headers", pair)).chain(extra.into_iter().map(|pair| ("extra_headers", pair)));
    for (key, (name, value)) in named {
        let header = HeaderName::try_from(name.as_str()).map_err(|_| instance.error(key, format!("legal header names, not {name:?}")))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| instance.error(key, format!("header values without line breaks, unlike that of {name:?}")))?;
        headers.insert(header, value);
    }
    if let Some(basic) = basic_authentication(instance)? {
        headers.insert(AUTHORIZATION, basic);
    }
    Ok(headers)
}

/// The basic header if both user name and password are set and not empty.
fn basic_authentication(instance: Options<'_>) -> Result<Option<HeaderValue>, LoadError> {
    let (Some(user), Some(password)) = (instance.text("username")?, instance.text("password")?) else {
        return Ok(None);
    };
    if user.is_empty() || password.is_empty() {
        return Ok(None);
    }
    let pair = format!("{user}:{password}");
    let latin1 = || pair.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect::<Option<Vec<u8>>>();
    let legacy = instance.flag_or("use_legacy_auth_encoding", true)?;
    let bytes = if legacy { latin1() } else { None }.unwrap_or_else(|| pair.clone().into_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(bytes)))
        .map_err(|_| instance.error("password", "a text that can be sent in a header"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn token_header(instance: Options<'_>, trust: Trust) -> Result<Option<TokenHeader>, LoadError> {
    let Some(map) = instance.map("auth_token")? else {
        return Ok(None);
    };
    let token = Options::new(map, "auth_token");
    let (Some(reader), Some(writer)) = (token.map("reader")?, token.map("writer")?) else {
        return Err(instance.error("auth_token", "a mapping with `reader` and `writer`"));
    };
    let (reader, writer) = (Options::new(reader, "auth_token.reader"), Options::new(writer, "auth_token.writer"));
    if reader.text("type")?.as_deref() != Some("file") {
        let mend = "file; oauth and dcos_auth need the Python checks, which are not available in this build";
        return Err(reader.error("type", mend));
    }
    if writer.text("type")?.as_deref() != Some("header") {
        return Err(writer.error("type", "header"));
    }
    trust.allow_file(reader, "path")?;
    let name = writer.required_text("name", "the name of a header, for example Authorization")?;
    let placeholder = writer.text("placeholder")?.filter(|text| !text.is_empty()).unwrap_or_else(|| TOKEN_PLACEHOLDER.to_owned());
    let value = writer.text("value")?.unwrap_or_else(|| placeholder.clone());
    if !value.contains(&placeholder) {
        return Err(writer.error("value", format!("a text that contains the placeholder {placeholder}")));
    }
    Ok(Some(TokenHeader {
        path: PathBuf::from(reader.required_text("path", "the path of the file with the token")?),
        pattern: reader.regex("pattern")?,
        name: HeaderName::try_from(name).map_err(|_| writer.error("name", "a legal header name"))?,
        value,
        placeholder,
    }))
}

/// Chooses between the proxies of instance, init_config and agent.
fn proxy(instance: Options<'_>, init: Options<'_>, settings: &CheckSettings) -> Result<AgentProxy, LoadError> {
    let skip = match (instance.flag("skip_proxy")?, instance.flag("no_proxy")?) {
        (Some(skip), _) | (None, Some(skip)) => skip,
        (None, None) => init.flag_or("skip_proxy", false)?,
    };
    if skip {
        return Ok(AgentProxy::default());
    }
    for options in [instance, init] {
        if let Some(map) = options.map("proxy")?.filter(|map| !map.is_empty()) {
            return own_proxy(Options::new(map, "proxy"));
        }
    }
    Ok(if init.flag_or("use_agent_proxy", true)? { settings.proxy.clone() } else { AgentProxy::default() })
}

fn own_proxy(proxy: Options<'_>) -> Result<AgentProxy, LoadError> {
    let url = |key: &str| -> Result<Option<String>, LoadError> {
        let Some(text) = proxy.text(key)?.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        reqwest::Proxy::all(&text).map_err(|_| proxy.error(key, "the URL of a proxy, for example http://10.0.0.1:3128"))?;
        Ok(Some(text))
    };
    let no_proxy = match proxy.get("no_proxy") {
        Some(serde_json::Value::Array(_)) => proxy.texts("no_proxy")?,
        Some(other) => {
            let text = scalar_text(other).ok_or_else(|| proxy.error("no_proxy", "a list of hosts"))?;
            text.split([',', ';', ' ']).filter(|host| !host.is_empty()).map(str::to_owned).collect()
        }
        None => Vec::new(),
    };
    Ok(AgentProxy { http: url("http")?, https: url("https")?, no_proxy })
}
