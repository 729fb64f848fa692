//! The actors of muster and the pure core they stand on.
//!
//! Layers, lowest first: [`domain`] and [`balance`] are functions over values; [`ports`] are the traits through which the
//! outside comes in; [`kernel`] hosts actors; [`messages`] is what they say to each other; [`shared`], [`cluster`] and [`node`] are
//! the actors; [`testing`] and [`sim`] are fakes and the simulation. Imports only point to a lower layer.

pub mod balance;
pub mod cluster;
pub mod domain;
pub mod kernel;
pub mod messages;
pub mod node;
pub mod ports;
pub mod shared;
pub mod sim;
pub mod testing;
