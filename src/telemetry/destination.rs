//! What destinations are called where several are shown.

use muster_actors::messages::output::OutputStats;

/// A destination of samples and events, told apart from those with the same URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// `stdout` or a base URL, without secrets.
    pub url: String,
    /// Last characters of its API key, where there is one; empty for a key too short to be shown at all.
    pub key_ending: Option<String>,
    /// 1, or more if others before it have the same URL and ending.
    pub number: usize,
}

impl Destination {
    /// The destinations of these outputs, in their order.
    #[must_use]
    pub fn of_all<'a>(outputs: impl IntoIterator<Item = &'a OutputStats>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for stats in outputs {
            let before = all.iter().filter(|other| other.url == stats.destination && other.key_ending == stats.key_ending).count();
            all.push(Self { url: stats.destination.clone(), key_ending: stats.key_ending.clone(), number: before + 1 });
        }
        all
    }

    /// `stdout`, `http://intake (API key ending with bcdef)`, and with ` #2` for another key that ends alike.
    #[must_use]
    pub fn label(&self) -> String {
        let key = self.key_ending.as_ref().map(|ending| format!(" (API key ending with {ending})")).unwrap_or_default();
        let number = if self.number > 1 { format!(" #{}", self.number) } else { String::new() };
        format!("{}{key}{number}", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_url_are_told_apart_also_when_they_end_alike() {
        let stats = |url: &str, ending: Option<&str>| OutputStats {
            destination: url.to_owned(),
            key_ending: ending.map(str::to_owned),
            ..OutputStats::default()
        };
        let outputs = [
            stats("http://a", Some("bcdef")),
            stats("http://a", Some("01234")),
            stats("http://a", Some("bcdef")),
            stats("http://b", Some("bcdef")),
            stats("stdout", None),
        ];
        assert_eq!(
            Destination::of_all(&outputs).iter().map(Destination::label).collect::<Vec<_>>(),
            [
                "http://a (API key ending with bcdef)",
                "http://a (API key ending with 01234)",
                "http://a (API key ending with bcdef) #2",
                "http://b (API key ending with bcdef)",
                "stdout",
            ]
        );
    }
}
