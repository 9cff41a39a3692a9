use super::*;

const WAITS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(100)];
const POLICY: Policy =
    Policy { kind: Kind::Analysis, at_once: 1, per_tenant: 1, waits: &WAITS, limit: Duration::from_secs(1) };

#[test]
fn pauses_grow_vary_and_heed_a_wish_within_reason() {
    assert_eq!(POLICY.attempts(), 3);
    for _ in 0..100 {
        let wait = POLICY.wait(1, None).unwrap();
        assert!((9.0..=11.0).contains(&wait.as_secs_f64()), "{wait:?}");
        let wait = POLICY.wait(2, Some(Duration::from_secs(50))).unwrap();
        assert!((90.0..=110.0).contains(&wait.as_secs_f64()), "{wait:?}");
    }
    assert_eq!(POLICY.wait(1, Some(Duration::from_secs(3600))), Some(Duration::from_secs(3600)));
    assert_eq!(POLICY.wait(1, Some(Duration::from_secs(86_400 * 365))), Some(LONGEST_PAUSE));
    assert_eq!(POLICY.wait(3, None), None);
    assert_eq!(POLICY.wait(0, None), None);
}
