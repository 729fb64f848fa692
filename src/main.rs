//! Entry point of the program `muster`.

fn main() {}
