//! The record of the lock in its two stock forms.
//!
//! Objects are kept as JSON, so that whatever else stands in them is written back as it was.

use jiff::Timestamp;
use muster_actors::domain::lock_record::LockRecord;
use serde_json::{Map, Value, json};

/// Annotation of a ConfigMap that holds the record. Source: cluster-agent-kubernetes 2.1.
pub(super) const RECORD_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Annotation of both kinds: `host:port` of the leader. Source: cluster-agent-kubernetes 2.4.
pub(super) const ADDRESS_ANNOTATION: &str = "muster.io/leader-address";

/// Annotation of both kinds: whose address that is.
///
/// Why: a stock replica that takes the lock over leaves annotations it does not know as they are.
pub(super) const ADDRESS_OF_ANNOTATION: &str = "muster.io/leader-address-of";

/// An object of the API server as it came.
pub(super) type Object = Map<String, Value>;

/// Kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Lease,
    ConfigMap,
}

impl ObjectKind {
    /// As rights name it.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Lease => "leases.coordination.k8s.io",
            Self::ConfigMap => "configmaps",
        }
    }

    /// A lock that nobody holds. Source: cluster-agent-kubernetes 2.2 step 4.
    pub(super) fn empty(self, namespace: &str, name: &str) -> Value {
        let metadata = json!({ "name": name, "namespace": namespace });
        match self {
            Self::Lease => json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {} }),
            Self::ConfigMap => json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata }),
        }
    }
}

/// The version of an object; empty if it has none.
pub(super) fn version(object: &Object) -> &str {
    object.get("metadata").and_then(|metadata| metadata["resourceVersion"].as_str()).unwrap_or_default()
}

/// Takes the record out of an object. An object without one is a lock that nobody ever held.
///
/// Errors: the annotation is not what leader election writes; the text says so.
pub(super) fn read(kind: ObjectKind, object: &Object) -> Result<LockRecord, String> {
    let mut record = match kind {
        ObjectKind::Lease => lease_record(object.get("spec").unwrap_or(&Value::Null)),
        ObjectKind::ConfigMap => match annotation(object, RECORD_ANNOTATION) {
            Some(text) => annotated_record(text)?,
            None => LockRecord::default(),
        },
    };
    let told_by_holder = annotation(object, ADDRESS_OF_ANNOTATION).is_some_and(|of| of == record.holder);
    if told_by_holder && !record.is_free() {
        record.leader_address = annotation(object, ADDRESS_ANNOTATION).map(str::to_owned);
    }
    Ok(record)
}

/// Puts the record into an object and leaves everything else as it is.
pub(super) fn write(kind: ObjectKind, object: &mut Object, record: &LockRecord) {
    match kind {
        ObjectKind::Lease => write_lease(child(object, "spec"), record),
        ObjectKind::ConfigMap => {
            let mut text = annotation(object, RECORD_ANNOTATION)
                .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok())
                .unwrap_or_default();
            write_annotation(&mut text, record);
            annotations(object).insert(RECORD_ANNOTATION.to_owned(), Value::Object(text).to_string().into());
        }
    }
    let told = record.leader_address.as_deref().filter(|_| !record.is_free());
    for (name, value) in [(ADDRESS_ANNOTATION, told), (ADDRESS_OF_ANNOTATION, told.map(|_| record.holder.as_str()))] {
        match value {
            Some(value) => drop(annotations(object).insert(name.to_owned(), value.into())),
            None if annotation(object, name).is_some() => drop(annotations(object).shift_remove(name)),
            None => {}
        }
    }
}

fn annotation<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get("metadata")?["annotations"][name].as_str()
}

fn annotations(object: &mut Object) -> &mut Map<String, Value> {
    child(child(object, "metadata"), "annotations")
}

/// The mapping below a key; whatever else stood there goes.
#[expect(clippy::expect_used, reason = "the text proves it")]
fn child<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made a mapping above")
}

fn lease_record(spec: &Value) -> LockRecord {
    LockRecord {
        holder: text(spec, "holderIdentity").unwrap_or_default(),
        lease_seconds: number(spec, "leaseDurationSeconds"),
        acquired_at: time(spec, "acquireTime"),
        renewed_at: time(spec, "renewTime"),
        transitions: number(spec, "leaseTransitions").into(),
        strategy: text(spec, "strategy"),
        preferred_holder: text(spec, "preferredHolder"),
        leader_address: None,
    }
}

fn write_lease(spec: &mut Map<String, Value>, record: &LockRecord) {
    spec.insert("holderIdentity".to_owned(), record.holder.clone().into());
    spec.insert("leaseDurationSeconds".to_owned(), record.lease_seconds.into());
    spec.insert("acquireTime".to_owned(), stamp(record.acquired_at, Precision::Microseconds));
    spec.insert("renewTime".to_owned(), stamp(record.renewed_at, Precision::Microseconds));
    // The field is one of 32 bits.
    spec.insert("leaseTransitions".to_owned(), i32::try_from(record.transitions).unwrap_or(i32::MAX).into());
}

fn annotated_record(text: &str) -> Result<LockRecord, String> {
    let value = serde_json::from_str::<Map<String, Value>>(text).map_err(|error| {
        format!("the annotation {RECORD_ANNOTATION} is not a record of a leader election ({error}); remove it, and a leader is elected")
    })?;
    let value = Value::Object(value);
    Ok(LockRecord {
        holder: self::text(&value, "holderIdentity").unwrap_or_default(),
        lease_seconds: number(&value, "leaseDurationSeconds"),
        acquired_at: time(&value, "acquireTime"),
        renewed_at: time(&value, "renewTime"),
        transitions: number(&value, "leaderTransitions").into(),
        strategy: self::text(&value, "strategy"),
        preferred_holder: self::text(&value, "preferredHolder"),
        leader_address: None,
    })
}

/// In the order of stock; `strategy` and `preferredHolder` stand there already if anywhere.
fn write_annotation(value: &mut Map<String, Value>, record: &LockRecord) {
    value.insert("holderIdentity".to_owned(), record.holder.clone().into());
    value.insert("leaseDurationSeconds".to_owned(), record.lease_seconds.into());
    value.insert("acquireTime".to_owned(), stamp(record.acquired_at, Precision::Seconds));
    value.insert("renewTime".to_owned(), stamp(record.renewed_at, Precision::Seconds));
    value.insert("leaderTransitions".to_owned(), record.transitions.into());
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn number(value: &Value, key: &str) -> u32 {
    value[key].as_u64().map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Nanoseconds since the Unix epoch; 0 if it is not there or no time. It is shown and compared for being the same, nothing else.
fn time(value: &Value, key: &str) -> i64 {
    let time = value[key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).unwrap_or(0)
}

#[derive(Clone, Copy)]
enum Precision {
    Seconds,
    Microseconds,
}

/// RFC 3339 in UTC, as stock writes it: a time that is not told is `null`.
fn stamp(nanos: i64, precision: Precision) -> Value {
    let unit = match precision {
        Precision::Seconds => 1_000_000_000,
        Precision::Microseconds => 1_000,
    };
    let whole = i128::from(nanos.div_euclid(unit) * unit);
    match (nanos, Timestamp::from_nanosecond(whole), precision) {
        (0, ..) | (_, Err(_), _) => Value::Null,
        (_, Ok(time), Precision::Seconds) => time.to_string().into(),
        (_, Ok(time), Precision::Microseconds) => format!("{time:.6}").into(),
    }
}
