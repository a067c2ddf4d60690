"""Stand-in Pulumi plugins, for machines where the official ones cannot be downloaded.

`random` and `tls` really generate; `hcloud` and `aws` answer without asking a cloud. They never
shadow an official plugin (`launchers.official_plugin`), and change resources of stack `local` only.
"""
