"""Uses a Supabase project with Supabase's own SDK: its Auth and its Storage.

usage: use_supabase.py BASE_URL PUBLISHABLE_KEY SECRET_KEY EMAIL PASSWORD

The user of EMAIL belongs to the tenant "tenant-1" by app_metadata, and may do everything below that folder. There are no buckets.
"""

import sys

import httpx
from supabase import create_client
from supabase_auth.errors import AuthApiError, AuthInvalidJwtError
from storage3.exceptions import StorageApiError

base_url, publishable_key, secret_key, email, password = sys.argv[1:]


def expect(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


def sign_in(client, password=password):
    return client.auth.sign_in_with_password({"email": email, "password": password})


# Auth: a login, whose token's signature the SDK checks with the project's key.
user = create_client(base_url, publishable_key)
wrong = expect(AuthApiError, lambda: sign_in(user, "wrong"))
assert wrong.code == "invalid_credentials" and wrong.status == 400, wrong
session = sign_in(user).session
claims = user.auth.get_claims()
assert claims["headers"]["alg"] == "ES256" and claims["headers"]["kid"], claims
claims = claims["claims"]
assert claims["iss"] == f"{base_url}/auth/v1" and claims["aud"] == "authenticated", claims
assert claims["sub"] == session.user.id and claims["app_metadata"]["tenant_id"] == "tenant-1", claims
expect(AuthInvalidJwtError, lambda: user.auth.get_claims(session.access_token[:-8] + "AAAAAAAA"))
assert user.auth.get_user().user.email == email

# What the user writes about themselves stays what it is: a claim of their own.
changed = user.auth.update_user({"data": {"tenant_id": "tenant-2", "nickname": "A."}}).user
assert changed.user_metadata == {"tenant_id": "tenant-2", "nickname": "A."}, changed
assert changed.app_metadata["tenant_id"] == "tenant-1", changed
refused = expect(AuthApiError, lambda: user.auth.update_user({"app_metadata": {"tenant_id": "tenant-2"}}))
assert refused.status == 403 and refused.code == "not_admin", refused
before = user.auth.get_session()
fresh = user.auth.refresh_session().session
assert fresh.refresh_token != before.refresh_token
claims = user.auth.get_claims(fresh.access_token)["claims"]
assert claims["user_metadata"]["tenant_id"] == "tenant-2" and claims["app_metadata"]["tenant_id"] == "tenant-1", claims
assert expect(AuthApiError, lambda: user.auth.refresh_session(before.refresh_token)).status == 400

# The administration of users.
server = create_client(base_url, secret_key)
made = server.auth.admin.create_user(
    {"email": "carol@example.com", "password": "c-password", "app_metadata": {"tenant_id": "tenant-3"}}
).user
assert made.app_metadata["tenant_id"] == "tenant-3" and server.auth.admin.get_user_by_id(made.id).user.email == made.email
assert expect(AuthApiError, lambda: server.auth.admin.create_user({"email": made.email})).code == "email_exists"
assert made.id in [it.id for it in server.auth.admin.list_users()]
assert server.auth.admin.update_user_by_id(made.id, {"app_metadata": {"role": "x"}}).user.app_metadata["role"] == "x"
assert expect(AuthApiError, lambda: user.auth.admin.list_users()).code == "not_admin"
server.auth.admin.delete_user(made.id)
assert expect(AuthApiError, lambda: server.auth.admin.get_user_by_id(made.id)).status == 404

# Storage, as the server.
assert server.storage.create_bucket("recordings", options={"public": False}) == {"name": "recordings"}
assert server.storage.get_bucket("recordings").public is False
duplicate = expect(StorageApiError, lambda: server.storage.create_bucket("recordings"))
assert str(duplicate.status) == "409", duplicate
bucket = server.storage.from_("recordings")
sound = bytes(range(256)) * 40
kept = bucket.upload("tenant-1/call 7.wav", sound, {"content-type": "audio/wav"})
assert kept.full_path == "recordings/tenant-1/call 7.wav", kept
assert bucket.download("tenant-1/call 7.wav") == sound
twice = expect(StorageApiError, lambda: bucket.upload("tenant-1/call 7.wav", b"x"))
assert (str(twice.status), twice.code) == ("409", "Duplicate"), twice
bucket.upload("tenant-1/call 7.wav", sound[:9], {"content-type": "audio/wav", "upsert": "true"})
bucket.update("tenant-1/call 7.wav", sound, {"content-type": "audio/wav"})
[listed] = bucket.list("tenant-1")
assert listed["name"] == "call 7.wav" and listed["metadata"]["size"] == len(sound), listed
assert listed["metadata"]["mimetype"] == "audio/wav", listed
assert bucket.exists("tenant-1/call 7.wav") and not bucket.exists("tenant-1/nothing")
missing = expect(StorageApiError, lambda: bucket.download("tenant-1/nothing"))
assert (str(missing.status), missing.code) == ("404", "not_found"), missing
signed = bucket.create_signed_url("tenant-1/call 7.wav", 60)["signedURL"]
assert httpx.get(signed).content == sound, "a signed URL needs nothing but itself"
assert httpx.get(signed + "x").json()["code"] == "InvalidJWT"
assert httpx.get(signed, headers={"Range": "bytes=4-7"}).content == sound[4:8]
upload = bucket.create_signed_upload_url("tenant-1/later.wav")
bucket.upload_to_signed_url("tenant-1/later.wav", upload["token"], b"later")
both = bucket.create_signed_urls(["tenant-1/later.wav", "tenant-1/nothing"], 60)
assert httpx.get(both[0]["signedURL"]).content == b"later" and both[1]["error"], both
bucket.move("tenant-1/later.wav", "tenant-1/moved.wav")
bucket.copy("tenant-1/moved.wav", "tenant-2/copied.wav")

# Storage, as a user: policies look at app_metadata.
mine = user.storage.from_("recordings")
assert mine.download("tenant-1/moved.wav") == b"later"
assert expect(StorageApiError, lambda: mine.download("tenant-2/copied.wav")).code == "not_found"
assert expect(StorageApiError, lambda: mine.upload("tenant-2/mine.wav", b"x")).code == "Unauthorized"
assert mine.remove(["tenant-2/copied.wav"]) == []

removed = bucket.remove(["tenant-1/call 7.wav", "tenant-1/moved.wav", "tenant-2/copied.wav", "tenant-1/nothing"])
assert len(removed) == 3, removed
server.storage.delete_bucket("recordings")
assert server.storage.list_buckets() == []

# The end of a session.
access_token = fresh.access_token
user.auth.sign_out()
assert expect(AuthApiError, lambda: user.auth.get_user(access_token)).code == "session_not_found"

# The gateway, and the root of the Data API.
assert httpx.get(f"{base_url}/rest/v1/").status_code == 401
assert httpx.get(f"{base_url}/rest/v1/", headers={"apikey": publishable_key}).status_code == 200
assert httpx.get(f"{base_url}/auth/v1/health", headers={"apikey": publishable_key}).json()["name"] == "GoTrue"
