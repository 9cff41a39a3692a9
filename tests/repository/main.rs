//! What the repository says of itself holds: its layout, its dependencies, and the files that are made from the code.

mod dependencies;
mod env_example;
mod openapi;
mod tree;
