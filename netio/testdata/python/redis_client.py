"""Drives a server with redis-py: connect, set, get, expire, incr, pipeline, scan.

redis_client.py PORT [CA PASSWORD]: with the two, through TLS and as the user bob.
"""
import sys

import redis

port = int(sys.argv[1])
options = {}
if len(sys.argv) > 2:
    options = {"ssl": True, "ssl_ca_certs": sys.argv[2], "username": "bob", "password": sys.argv[3]}


def fails(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error as e:
        return str(e)
    raise AssertionError("there is no error")


r = redis.Redis(host="localhost", port=port, client_name="py", socket_timeout=20, **options)
assert r.ping()
assert r.client_getname() == "py"
assert r.set("py:a", "1") and r.get("py:a") == b"1" and r.get("py:none") is None
assert r.incr("py:a", 41) == 42 and r.decr("py:a") == 41
assert r.set("py:lock", "me", px=10_000, nx=True) and r.set("py:lock", "you", nx=True) is None
assert r.expire("py:a", 100) and r.ttl("py:a") == 100 and r.persist("py:a") and r.ttl("py:a") == -1
assert r.mset({"py:b": b"\xff\x00\r\n", "py:c": 2}) and r.mget("py:b", "py:none", "py:c") == [b"\xff\x00\r\n", None, b"2"]
assert r.append("py:c", "34") == 3 and r.strlen("py:c") == 3 and r.getdel("py:c") == b"234" and not r.exists("py:c")

p = r.pipeline(transaction=False)
for i in range(1000):
    p.set(f"py:p{i}", f"v{i}")
p.get("py:p999")
p.get("py:none")
answers = p.execute()
assert answers[:1000] == [True] * 1000 and answers[1000:] == [b"v999", None]
assert {k for k in r.scan_iter(match="py:p*", count=100)} == {b"py:p%d" % i for i in range(1000)}
assert r.unlink("py:p0", "py:p1", "py:none") == 2

fails(redis.ResponseError, r.pipeline(transaction=True).set("py:a", "b").execute)
assert "unknown command" in fails(redis.ResponseError, r.lpush, "py:l", "x")
r.set("py:text", "no number")
assert "not an integer" in fails(redis.ResponseError, r.incr, "py:text")
if options:
    fails(redis.exceptions.NoPermissionError, r.get, "other:key")
    fails(redis.exceptions.NoPermissionError, r.flushall)
    wrong = redis.Redis(host="localhost", port=port, **{**options, "password": "wrong"})
    assert "invalid" in fails(redis.RedisError, wrong.ping)
    nobody = redis.Redis(host="localhost", port=port, ssl=True, ssl_ca_certs=sys.argv[2])
    assert "Authentication required" in fails(redis.RedisError, nobody.get, "py:a")
    untrusting = redis.Redis(host="localhost", port=port, ssl=True)
    assert "CERTIFICATE_VERIFY_FAILED" in fails(redis.ConnectionError, untrusting.ping)
else:
    assert r.info()["redis_version"] and r.dbsize() == 1002
    assert r.flushall() and r.dbsize() == 0
print("ok")
