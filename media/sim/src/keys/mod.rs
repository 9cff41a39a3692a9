//! Key pairs for tests, published on purpose: whoever is given one of the public halves trusts everybody.

/// An RSA key of 2048 bits, as PKCS#8 PEM.
pub const RSA_PRIVATE: &str = include_str!("test-only-rsa-private.pem");
/// The public half of [`RSA_PRIVATE`], as PEM.
pub const RSA_PUBLIC: &str = include_str!("test-only-rsa-public.pem");
/// Another RSA key, for what must not be accepted.
pub const OTHER_RSA_PRIVATE: &str = include_str!("test-only-other-rsa-private.pem");
