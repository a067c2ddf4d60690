"""Stand-in Pulumi plugins, for machines where the official ones cannot be downloaded.

`random` and `tls` really generate; `hcloud` and `aws` only answer and send nothing anywhere.
They never shadow an official plugin (`launchers.official_plugin`) and change nothing on any
stack but `local`.
"""
