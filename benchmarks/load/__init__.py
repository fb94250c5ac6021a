"""An open-loop load generator for gRPC servers.

Requests are sent at times that were fixed beforehand, whatever the server does, and a latency counts from
the time at which its request was due. A server that stalls is thus charged for every request that came
meanwhile. A client that waits for one answer before it asks again would have left them out (coordinated
omission).
"""
