//! State of a certificate by the time it has left.

use muster_actors::domain::samples::ServiceStatus;

use super::super::certificate::{FetchFailure, fetch, not_after};
use super::options::ExpiryOptions;

/// What is known about a certificate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expiry {
    /// State of `http.ssl_cert`.
    pub(super) status: ServiceStatus,
    /// Units: seconds; `None` = not known.
    pub(super) seconds_left: Option<f64>,
    /// Message, empty when all is well.
    pub(super) message: String,
}

impl Expiry {
    fn unknown(message: impl Into<String>) -> Self {
        Self { status: ServiceStatus::Unknown, seconds_left: None, message: message.into() }
    }

    /// Whole days left, rounded down.
    pub(super) fn days_left(seconds_left: f64) -> f64 {
        (seconds_left / 86_400.0).floor()
    }
}

/// Judges the certificate of the target at `now` (seconds since the Unix epoch).
///
/// `shown` is the certificate of the checked response, if it is to be used.
pub(super) async fn examine(options: &ExpiryOptions, shown: Option<Vec<u8>>, now: f64) -> Expiry {
    if shown.is_none() && !options.unvalidated {
        return Expiry::unknown("Empty or no certificate found.");
    }
    let certificate = match shown {
        Some(certificate) => Some(certificate),
        None => match fetch_shown(options).await {
            Ok(certificate) => certificate,
            Err(expiry) => return expiry,
        },
    };
    match certificate {
        None => Expiry::unknown("Empty or no certificate found."),
        Some(der) => match not_after(&der) {
            Ok(end) => judge(options, end as f64 - now),
            Err(problem) => Expiry::unknown(problem),
        },
    }
}

async fn fetch_shown(options: &ExpiryOptions) -> Result<Option<Vec<u8>>, Expiry> {
    let tls = options.tls.clone();
    let config = tokio::task::spawn_blocking(move || tls.client_config()).await.map_err(|problem| Expiry::unknown(problem.to_string()))?;
    let config = config.map_err(|problem| Expiry::unknown(problem.to_string()))?;
    match fetch(&options.host, options.port, &options.server_name, config, options.timeout).await {
        Ok(certificate) => Ok(certificate),
        Err(FetchFailure::Expired(message)) => Err(Expiry { status: ServiceStatus::Critical, seconds_left: Some(0.0), message }),
        Err(FetchFailure::Other(message)) => Err(Expiry::unknown(message)),
    }
}

fn judge(options: &ExpiryOptions, seconds_left: f64) -> Expiry {
    let days = Expiry::days_left(seconds_left);
    let (status, message) = if seconds_left < options.critical_seconds as f64 {
        (ServiceStatus::Critical, format!("This cert TTL is critical: only {days} days before it expires"))
    } else if seconds_left < options.warning_seconds as f64 {
        (ServiceStatus::Warning, format!("This cert is almost expired, only {days} days left"))
    } else {
        (ServiceStatus::Ok, String::new())
    };
    Expiry { status, seconds_left: Some(seconds_left), message }
}
