//! Our own sentence and remedy for each code of Microsoft's that matters.
//!
//! Sources: the identity platform's list of AADSTS codes and Graph's error documents. Microsoft may
//! change numbers, so an unknown one falls back on OAuth's error word.

use crate::Class::{self, *};

/// A class, a sentence and a remedy.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// Whose turn it is.
    pub class: Class,
    /// What happened.
    pub sentence: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn say(class: Class, sentence: &'static str, remedy: &'static str) -> Explanation {
    Explanation {
        class,
        sentence,
        remedy,
    }
}

/// AADSTS codes, several of which may mean the same.
const AADSTS: &[(&[u32], Explanation)] = &[
    (
        &[7_000_215, 70_002],
        say(
            Credential,
            "Microsoft does not accept the client secret.",
            "Edit the credential and paste the secret's value (the column headed Value, not Secret ID).",
        ),
    ),
    (
        &[7_000_222],
        say(
            Credential,
            "The client secret has expired.",
            "Make a new secret in the app registration and enter it by editing the credential.",
        ),
    ),
    (
        &[700_027, 50_012, 700_030, 50_013, 500_133, 700_024],
        say(
            Credential,
            "Microsoft does not accept the certificate's signature.",
            "Check that the certificate is uploaded to the registration and that this server's clock is right.",
        ),
    ),
    (
        &[700_025, 7_000_218],
        say(
            Credential,
            "The registration is set up as a public client.",
            "Register the redirect URI under the platform \"Web\".",
        ),
    ),
    (
        &[700_016, 700_011, 7_000_229],
        say(
            Consent,
            "The application is not present in this directory.",
            "Have an administrator of the directory consent; check the client ID and the authentication endpoint.",
        ),
    ),
    (
        &[7_000_112, 70_001],
        say(
            Consent,
            "The application is disabled in this directory.",
            "The customer's administrator enables it under Enterprise applications › Properties.",
        ),
    ),
    (
        &[1_000_031],
        say(
            Consent,
            "The application cannot be used in this directory at this time.",
            "Ask the customer's administrator to check it under Enterprise applications.",
        ),
    ),
    (
        &[65_001],
        say(
            Consent,
            "Consent is missing in this directory.",
            "Ask an administrator of the directory for consent.",
        ),
    ),
    (
        &[65_004],
        say(
            Consent,
            "The administrator declined.",
            "Explain what the permissions are for and ask again.",
        ),
    ),
    (
        &[65_005, 650_056, 650_057, 650_054],
        say(
            Consent,
            "The registration does not list the permissions that were asked for.",
            "Paste the permission manifest into the registration, then ask for consent again.",
        ),
    ),
    (
        &[650_052, 500_011],
        say(
            Licence,
            "A service that the registration asks for is not available in this directory.",
            "Remove that permission from the registration, or license the service for the customer.",
        ),
    ),
    (
        &[90_002, 90_038, 900_382, 900_432, 1_000_104],
        say(
            Consent,
            "Microsoft does not know this tenant in the chosen cloud.",
            "Check the tenant ID and the authentication endpoint of the credential.",
        ),
    ),
    (
        &[90_072, 50_020, 50_034, 51_004, 16_003],
        say(
            Consent,
            "The account that signed in does not exist in this directory.",
            "Sign in with an account of the directory that is to be connected.",
        ),
    ),
    (
        &[50_194],
        say(
            Credential,
            "The registration accepts accounts of its own directory only.",
            "Set the supported account types to \"any organizational directory\" (multitenant).",
        ),
    ),
    (
        &[90_094, 90_095],
        say(
            Consent,
            "The account that signed in may not consent.",
            "Sign in as Global Administrator or Privileged Role Administrator.",
        ),
    ),
    (
        &[90_099],
        say(
            Consent,
            "The application is not authorised in this directory for partners.",
            "Have an administrator of the directory itself consent.",
        ),
    ),
    (
        &[53_003, 530_032, 53_000, 53_001, 53_002, 50_131, 50_005],
        say(
            Policy,
            "A conditional access policy of the customer blocks it.",
            "Ask the customer to exclude this application, or the workload, from the policy.",
        ),
    ),
    (
        &[530_035],
        say(
            Policy,
            "The security defaults of the customer's directory block it.",
            "Nothing here uses legacy authentication: ask the customer's administrator for the sign-in log's entry.",
        ),
    ),
    (
        &[500_212, 500_213],
        say(
            Policy,
            "A cross-tenant access policy blocks it.",
            "Ask the customer's administrator to allow this application under External Identities › Cross-tenant access settings.",
        ),
    ),
    (
        &[500_021, 500_022, 50_002],
        say(
            Policy,
            "A tenant restriction of the network blocks it.",
            "Ask the network's administrator to allow this directory, or sign in from another network.",
        ),
    ),
    (
        &[50_076, 50_079, 50_074, 50_072, 50_078],
        say(
            Policy,
            "Multi-factor authentication is needed.",
            "Sign in again and complete it.",
        ),
    ),
    (
        &[50_105],
        say(
            Policy,
            "The account is not assigned to the application.",
            "Assign it under Enterprise applications, or switch off \"assignment required\".",
        ),
    ),
    (
        &[50_011, 700_054, 900_971],
        say(
            Credential,
            "The redirect URI of this installation is not in the registration.",
            "Add the redirect URI that the guide shows, exactly, under Authentication › Web.",
        ),
    ),
    (
        &[50_057],
        say(
            Policy,
            "The account that signed in is disabled.",
            "Sign in with another account of the directory.",
        ),
    ),
    (
        &[50_001],
        say(
            Defect,
            "The service that was asked for is disabled or missing in this directory.",
            "Check the authentication endpoint of the credential; if it is right, report this.",
        ),
    ),
    (
        &[70_011, 28_002, 700_022, 700_023],
        say(
            Defect,
            "Microsoft does not accept the scope that was asked for.",
            "Check the authentication endpoint of the credential; if it is right, report this.",
        ),
    ),
    (
        &[9_001_023, 90_124, 90_130],
        say(
            Defect,
            "Microsoft wants a tenant ID where a placeholder was sent.",
            "Check the tenant ID of the credential; if it is right, report this.",
        ),
    ),
    (
        &[50_058, 50_140, 50_199],
        say(
            Policy,
            "The sign-in was interrupted before it was complete.",
            "Start again in the same browser and go through to the end.",
        ),
    ),
    (
        &[1_002_016],
        say(
            Defect,
            "Microsoft refuses the encryption of the connection.",
            "A proxy between this server and Microsoft uses TLS below 1.2: let the connection through untouched.",
        ),
    ),
    (
        &[50_049, 900_144, 900_561, 9_002_313, 90_013],
        say(
            Defect,
            "Microsoft does not understand the request.",
            "Look for a proxy that rewrites requests; if there is none, report this.",
        ),
    ),
    (
        &[700_082, 700_084, 50_173, 70_043],
        say(
            Credential,
            "The authorisation has lapsed.",
            "Authorise the connection again from the credential's page.",
        ),
    ),
    (
        &[54_005, 70_000, 70_008, 700_005],
        say(
            Transient,
            "The sign-in took too long or was used already.",
            "Start again.",
        ),
    ),
    (
        &[
            90_033, 90_006, 90_012, 90_024, 50_033, 90_090, 90_055, 50_196,
        ],
        say(
            Transient,
            "Microsoft's sign-in service is busy.",
            "Nothing: it is tried again by itself.",
        ),
    ),
];

/// Explains a refusal of the sign-in service.
pub fn token(error: &str, code: Option<u32>) -> Explanation {
    if let Some(code) = code
        && let Some((_, found)) = AADSTS.iter().find(|(codes, _)| codes.contains(&code))
    {
        return *found;
    }
    match error {
        "invalid_client" => say(
            Credential,
            "Microsoft does not accept the application's credential.",
            "Edit the credential and enter a new secret.",
        ),
        "unauthorized_client" | "consent_required" => say(
            Consent,
            "The application has no consent in this directory.",
            "Ask an administrator of the directory for consent.",
        ),
        "access_denied" => say(
            Consent,
            "The administrator declined.",
            "Explain what the permissions are for and ask again.",
        ),
        "temporarily_unavailable" | "server_error" => say(
            Transient,
            "Microsoft's sign-in service is busy.",
            "Nothing: it is tried again by itself.",
        ),
        "interaction_required" | "login_required" => say(
            Policy,
            "Microsoft wants a person to sign in.",
            "Ask for consent again; an administrator signs in there.",
        ),
        _ => say(
            Defect,
            "Microsoft refused the request.",
            "Look the code up at Microsoft; if it says nothing useful, report it to us.",
        ),
    }
}

/// Explains an error of Graph.
pub fn api(status: u16, code: &str, says_unlicensed: bool) -> Explanation {
    let code = code.to_ascii_lowercase();
    let is = |name: &str| code.contains(name);
    match status {
        400 | 403 if is("nonpremiumtenant") || is("premiumlicenserequired") => say(
            Licence,
            "This needs Microsoft Entra ID P1 or P2, which the directory does not have.",
            "License the customer for it; if they have it, grant Directory.Read.All as well.",
        ),
        403 if says_unlicensed => say(
            Licence,
            "This needs Microsoft Entra ID P1 or P2, which the directory does not have.",
            "License the customer for it; if they have it, grant Directory.Read.All as well.",
        ),
        401 if says_unlicensed => say(
            Licence,
            "The service is not set up in this directory.",
            "Nothing, unless the customer uses it.",
        ),
        403 if is("authorization_requestdenied")
            || is("permissionmissing")
            || is("accessdenied")
            || is("forbidden") =>
        {
            say(
                Permission,
                "A permission for this was not granted.",
                "Add the permission to the registration and ask for consent again.",
            )
        }
        403 => say(
            Permission,
            "Microsoft forbids it.",
            "Check the granted permissions; if they are complete it is tried again by itself.",
        ),
        401 => say(
            Consent,
            "Microsoft does not accept the token for this directory.",
            "Check that consent still stands; it is tried again by itself.",
        ),
        404 => say(
            NotFound,
            "Microsoft does not know it, or not yet.",
            "Nothing: the next sync looks again.",
        ),
        400 if is("expiredpagetoken") || is("syncstatenotfound") => say(
            Transient,
            "Microsoft's place-holder for the list has expired.",
            "Nothing: it is read again from the start.",
        ),
        410 => say(
            Transient,
            "Microsoft wants the list to be read anew.",
            "Nothing: it is read again from the start.",
        ),
        400 if is("badrequest") && says_unlicensed => say(
            Licence,
            "The service is not available in this directory.",
            "Nothing, unless the customer uses it.",
        ),
        429 | 500..=599 => say(
            Transient,
            "Microsoft Graph could not answer.",
            "Nothing: it is tried again by itself.",
        ),
        300..=399 => say(
            Defect,
            "Microsoft Graph answered with a redirect, which is not followed.",
            "Check the Graph address of the cloud.",
        ),
        _ => say(
            Defect,
            "Microsoft Graph does not accept the request.",
            "Report this with the job's number: it should not happen.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rule_over_words() {
        assert_eq!(token("invalid_client", Some(7_000_229)).class, Consent);
        assert_eq!(token("invalid_client", Some(7_000_215)).class, Credential);
        assert_eq!(token("invalid_client", Some(1)).class, Credential);
        assert_eq!(token("who_knows", None).class, Defect);
    }

    #[test]
    fn a_missing_licence_is_not_a_missing_permission() {
        let code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";
        assert_eq!(api(403, code, false).class, Licence);
        assert_eq!(
            api(403, "Authorization_RequestDenied", false).class,
            Permission
        );
        assert_eq!(
            api(403, "Authentication_MSGraphPermissionMissing", false).class,
            Permission
        );
    }

    /// Every code of the identity platform's list that matters for consent, tokens and sign-in has a
    /// sentence and a remedy of our own, in the class that says whose turn it is.
    #[test]
    fn every_code_that_matters_is_explained() {
        let expected: &[(Class, &[u32])] = &[
            (
                Credential,
                &[
                    7_000_215, 7_000_222, 70_002, 700_027, 50_012, 700_030, 50_013, 500_133,
                    7_000_218, 700_025, 50_194, 50_011, 700_054, 900_971, 700_082, 50_173,
                ],
            ),
            (
                Consent,
                &[
                    700_016, 7_000_229, 700_011, 7_000_112, 70_001, 1_000_031, 65_001, 65_004,
                    65_005, 650_056, 650_057, 650_054, 90_002, 90_038, 900_382, 900_432, 1_000_104,
                    90_072, 50_020, 50_034, 51_004, 16_003, 90_094, 90_095, 90_099,
                ],
            ),
            (Licence, &[650_052, 500_011]),
            (
                Policy,
                &[
                    53_003, 530_032, 53_000, 53_001, 53_002, 50_131, 50_005, 530_035, 500_212,
                    500_213, 500_021, 500_022, 50_002, 50_076, 50_079, 50_074, 50_072, 50_078,
                    50_105, 50_058, 50_140, 50_199,
                ],
            ),
            (
                Transient,
                &[
                    54_005, 70_000, 70_008, 700_005, 50_196, 90_033, 90_006, 90_012, 90_024,
                    50_033, 90_090, 90_055,
                ],
            ),
            (
                Defect,
                &[
                    50_001, 70_011, 28_002, 700_022, 700_023, 1_002_016, 50_049, 900_144, 900_561,
                    9_002_313, 90_013,
                ],
            ),
        ];
        for (class, codes) in expected {
            for code in *codes {
                let (_, found) = AADSTS
                    .iter()
                    .find(|(all, _)| all.contains(code))
                    .unwrap_or_else(|| panic!("AADSTS{code} is not explained"));
                assert_eq!(found.class, *class, "AADSTS{code}");
                assert!(
                    found.sentence.ends_with('.') && found.remedy.ends_with('.'),
                    "AADSTS{code}"
                );
            }
        }
    }

    #[test]
    fn no_code_is_explained_twice() {
        let mut all: Vec<u32> = AADSTS
            .iter()
            .flat_map(|(codes, _)| codes.iter().copied())
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(count, all.len());
    }
}
