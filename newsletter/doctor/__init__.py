"""The doctor: looks at everything that a send depends on, and says how to mend what is wrong.

    machine    settings, secrets, database, disk, Python, clock
    templates  whether they parse
    relays     whether each lets us in, without mailing anybody
    names      SPF, DKIM, DMARC and the bounce domain, as the DNS has them
    web        whether the address that mails link to answers

Nobody is mailed. What cannot be known is skipped, and says why.
"""
