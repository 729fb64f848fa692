//! What must hold after every message (style 8), as pure functions.
//!
//! Called by debug assertions, by property tests and by the simulation. A violation is a value with its name and its data, so that
//! each caller decides what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::balance::eligibility;
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::exposure::Exposure;
use crate::domain::ids::{ConfigKey, NodeName, Seq};
use crate::domain::turn::Committed;
use crate::domain::world::{DanglingReason, ServedTable, Standing};
