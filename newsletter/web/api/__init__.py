"""The API for programs: what operators do at the console and the command line, over HTTP.

`scopes` says what each route asks of a key, `gate` stands before all of them, and each kind of
thing has a file. Nothing is sent within a request: a send is an order (`orders`), written down
once for each Idempotency-Key, that `newsletter serve` carries out.
"""
