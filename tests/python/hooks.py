"""What schemathesis does not check by itself: that a header which says what to do next is one that the document tells."""

import schemathesis

TELLING = ["accept-encoding", "link", "retry-after", "www-authenticate"]


@schemathesis.check
def headers_are_declared(ctx, response, case):
    said = case.operation.responses.find_by_status_code(response.status_code)
    declared = {name.lower() for name, _ in said.headers.items()} if said else set()
    for name in TELLING:
        assert name not in response.headers or name in declared, (
            f"{name} of {response.status_code} is not declared"
        )
