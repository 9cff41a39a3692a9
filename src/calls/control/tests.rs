use serde_json::json;
use trunkline_media::telephony::TransferOutcome;

use super::{bus::Ask, transfer::Progress};

#[test]
fn what_is_asked_is_read_as_it_was_written_and_nonsense_is_not() {
    let asks = [
        json!({ "ask": "command", "command": { "command": "hang_up", "reason": "api_hangup" } }),
        json!({ "ask": "command", "command": { "command": "say", "text": "Hello.", "interruptible": false } }),
        json!({ "ask": "command", "command": { "command": "hold", "on": true } }),
        json!({ "ask": "command", "command": { "command": "send_keys", "keys": "12#" } }),
        json!({ "ask": "command", "command": { "command": "transfer", "target": "+14155550100", "mode": "warm" } }),
        json!({ "ask": "command", "command": { "command": "answered_by", "by": "machine_ready" } }),
        json!({ "ask": "transfer", "progress": { "progress": "accepted" }, "comes_back": false }),
    ];
    for written in asks {
        let ask: Ask = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&ask).unwrap(), written);
        assert!(!format!("{ask:?}").contains("Hello") && !format!("{ask:?}").contains("4155550100"), "{ask:?}");
    }
    for nonsense in [
        json!({ "ask": "command", "command": { "command": "send_keys", "keys": "12x" } }),
        json!({ "ask": "command", "command": { "command": "explode" } }),
        json!({ "ask": "command" }),
        json!([]),
    ] {
        assert!(serde_json::from_value::<Ask>(nonsense.clone()).is_err(), "{nonsense}");
    }
    let over = Progress::Over { outcome: TransferOutcome::failed("no") };
    let written = serde_json::to_value(&over).unwrap();
    assert_eq!(serde_json::from_value::<Progress>(written).unwrap(), over);
}
